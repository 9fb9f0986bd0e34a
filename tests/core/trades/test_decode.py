"""Decoding: every frame ends as one of three kinds, and nothing is left over."""

import json
import random
from decimal import Decimal, localcontext
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.frames import FROM_DUMP
from candlewax.core.schema import (
    BRONZE,
    DEAD_LETTERS,
    FRAMES,
    KIND_CONTROL,
    KIND_DEAD,
    SCOPE_FRAME,
    SCOPE_TRADE,
)
from candlewax.core.trades.decode import decode, reject_frames
from candlewax.core.trades.normalize import normalize
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.binance import SPOT
from tests.support.decoding import INSTRUMENTS, RECEIVED_NS, read

NAMES = sorted(EXCHANGES)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["e", "s", "t", "p", "q", "T", "m", "channel", "data", "events", "trades", "type", "price",
     "qty", "size", "side", "symbol", "product_id", "trade_id", "time", "timestamp", "stream"]
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    ["trade", "match", "market_trades", "BTCUSDT", "BTC/USD", "BTC-USD", "buy", "SELL", "1.5",
     "NaN", "1e400", "-0", "0.1234567890123", 2**63, 2**64, -1, 1.5, True, None, [], {}, "\ud7ff",
     "a\nb", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 1700000000000, 253402300799999]
)  # fmt: skip
NEARLY: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(FIELDS, VALUES),
    lambda inner: st.dictionaries(FIELDS, inner | VALUES | st.lists(inner, max_size=2)),
    max_leaves=6,
)
TEXTS = st.one_of(st.text(), JSON.map(json.dumps), NEARLY.map(json.dumps))


@given(st.sampled_from(NAMES), st.lists(TEXTS, max_size=8))
def test_whatever_a_frame_holds_it_is_accounted_for(exchange: str, texts: list[str]) -> None:
    """Frames, trades and letters add up, and every letter holds its frame."""
    found = read(exchange, *texts)
    bronze = found.bronze
    assert bronze["frame"].to_list() == texts
    assert dict(bronze.schema) == dict(pl.DataFrame(schema=BRONZE).schema)
    assert dict(found.dead_letters.schema) == dict(pl.DataFrame(schema=DEAD_LETTERS).schema)
    assert bronze["trades"].sum() == found.trades.height
    whole = found.dead_letters.filter(pl.col("scope") == SCOPE_FRAME)
    dead = bronze.filter(pl.col("kind") == KIND_DEAD)
    assert whole["source_offset"].to_list() == dead["source_offset"].to_list()
    for letter in found.dead_letters.rows(named=True):
        assert letter["frame"] == texts[letter["source_offset"]].encode()
        assert letter["reason"]
        assert letter["detail"]


def binance_fields(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": draw(st.integers(0, 10**13)),
        "s": draw(st.sampled_from(["BTCUSDT", "ETHBTC", "QQQ", "XRPEUR"])),
        "t": draw(st.integers(0, 2**64)),
        "p": str(draw(st.decimals(0, 10**9, places=8))),
        "q": str(draw(st.decimals(0, 10**9, places=13))),
        "T": draw(st.integers(0, 1_900_000_000_000)),
        "m": draw(st.booleans()),
        "M": draw(st.booleans()),
    }


def kraken_fields(draw: st.DrawFn) -> str:
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        price, qty = (draw(st.decimals(0, 10**6, places=9)) for _ in range(2))
        second = draw(st.integers(0, 59))
        rows.append(
            f'{{"symbol":"BTC/USD","side":"{draw(st.sampled_from(["buy", "sell", "x"]))}",'
            f'"price":{price:f},"qty":{qty:f},"ord_type":"limit",'
            f'"trade_id":{draw(st.integers(0, 2**64))},'
            f'"timestamp":"2026-09-25T07:49:{second:02}.708706Z"}}'
        )
    return f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'


@st.composite
def sound(draw: st.DrawFn) -> tuple[str, str, str]:
    """An exchange, a frame as it sends it, and the same written otherwise."""
    if draw(st.booleans()):
        fields = binance_fields(draw)
        mixed = list(fields.items())
        random.Random(draw(st.integers())).shuffle(mixed)
        return (
            "binance",
            json.dumps(fields, separators=(",", ":")),
            json.dumps(dict(mixed), indent=1),
        )
    text = kraken_fields(draw)
    return "kraken", text, text.replace(",", " ,").replace("{", "{ ")


@given(st.lists(sound(), min_size=1, max_size=6))
def test_the_fast_and_the_general_way_read_the_same(frames: list[tuple[str, str, str]]) -> None:
    """The layout of a frame changes nothing of its trades and faults."""
    for exchange in ("binance", "kraken"):
        fast = read(exchange, *(a for name, a, _ in frames if name == exchange))
        slow = read(exchange, *(b for name, _, b in frames if name == exchange))
        columns = sorted(set(fast.trades.columns) & set(slow.trades.columns))
        assert fast.trades.select(columns).equals(slow.trades.select(columns))
        told = ["source_offset", "source_index", "scope", "reason", "detail"]
        assert fast.dead_letters.select(told).equals(slow.dead_letters.select(told))


@given(st.lists(st.one_of(TEXTS, sound().map(lambda f: f[1])), min_size=1, max_size=10))
def test_few_frames_are_read_as_many_are(texts: list[str]) -> None:
    """One by one or in columns: the same trades, the same faults."""
    for exchange in ("binance", "kraken", "coinbase"):
        many, few = read(exchange, *texts), read(exchange, *texts, few=len(texts))
        assert many.bronze.equals(few.bronze)
        assert many.dead_letters.equals(few.dead_letters)
        columns = sorted(set(many.trades.columns) & set(few.trades.columns))
        assert many.trades.select(columns).equals(few.trades.select(columns))
        for other in set(many.trades.columns) ^ set(few.trades.columns):
            for trades in (many.trades, few.trades):
                assert other not in trades.columns or trades[other].null_count() == trades.height


@given(st.lists(st.one_of(TEXTS, sound().map(lambda f: f[1])), min_size=1, max_size=10), st.data())
def test_decoding_does_not_depend_on_the_cut(texts: list[str], data: st.DataObject) -> None:
    """A batch gives what its parts give one after another."""
    rows = [(10**18 + n, "c", n, text) for n, text in enumerate(texts)]
    frames = pl.DataFrame(rows, schema=FRAMES, orient="row")
    cut = data.draw(st.integers(0, len(texts)))
    for exchange in ("binance", "kraken"):
        whole = decode(EXCHANGES[exchange], frames, INSTRUMENTS)
        parts = [
            decode(EXCHANGES[exchange], part, INSTRUMENTS) for part in (frames[:cut], frames[cut:])
        ]
        assert whole.bronze.equals(pl.concat([part.bronze for part in parts]))
        assert whole.dead_letters.equals(pl.concat([part.dead_letters for part in parts]))
        joined = pl.concat([part.trades.drop("row") for part in parts], how="diagonal")
        assert whole.trades.drop("row").equals(joined.select(whole.trades.drop("row").columns))


def test_a_frame_of_ten_megabytes_is_read_or_kept() -> None:
    """Size alone is no fault."""
    row = '["1.5","0.1","1534614057.321597","s","l",""]'
    large = "[0,[" + ",".join([row] * 60_000) + '],"trade","XBT/USD"]'
    garbage = "x" * 10_000_000
    nearly = large[:-1] + "?"
    found = read("kraken", large, garbage, nearly)
    assert found.bronze["trades"].to_list() == [60_000, 0, 0]
    assert found.trades["trade_id"].n_unique() == 60_000
    assert found.dead_letters["reason"].to_list() == ["bad_json", "bad_json"]
    assert found.dead_letters["frame"][0] == garbage.encode()


def test_a_frame_of_more_trades_than_can_be_counted_is_dead() -> None:
    """Its number of trades is stored in sixteen bits."""
    row = '["1.5","0.1","1534614057.321597","s","l",""]'
    frame = "[0,[" + ", ".join([row] * 65_536) + '],"trade","XBT/USD"]'
    assert read("kraken", frame).dead_letters["reason"].to_list() == ["too_many_trades"]


@pytest.mark.parametrize(("count", "reasons"), [(3, []), (4, ["too_many_trades"])])
def test_frame_of_as_many_trades_as_can_be_counted_is_read(count: int, reasons: list[str]) -> None:
    """One trade more is too many, of a websocket and of a dump."""
    row = '["1.5","0.1","1534614057.321597","s","l",""]'
    frame = "[0,[" + ",".join([row] * count) + '],"trade","XBT/USD"]'
    lines = "\n".join(f"{n},1.5,0.1,0.15,1700000000000,True,True" for n in range(1, count + 1))
    with mock.patch("candlewax.core.trades.decode.MAX_TRADES", 3):
        live = read("kraken", frame, few=1)
        dump = read("binance", lines, connection=FROM_DUMP + "BTCUSDT")
    for found in (live, dump):
        assert found.dead_letters["reason"].to_list() == reasons
        assert found.bronze["trades"].to_list() == [0 if reasons else count]


def test_a_trade_of_too_many_fields_is_a_letter() -> None:
    """Each would be a column of all trades of its batch."""
    fields = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "T": 1, "m": True}
    wide = {**fields, **{f"k{n}": n for n in range(60)}}
    found = read("binance", json.dumps(fields), json.dumps(wide))
    assert found.trades.height == 1
    assert found.dead_letters["reason"].to_list() == ["bad_shape"]
    assert "68 fields" in found.dead_letters["detail"][0]


def test_deep_json_is_a_letter() -> None:
    """Nesting without end is refused, not followed."""
    assert read("kraken", "[" * 100_000).dead_letters["reason"].to_list() == ["bad_json"]


def test_good_trades_of_a_frame_pass_and_bad_ones_are_told() -> None:
    """One letter for each bad trade, with its place."""
    row = '["{}","0.1","1534614057.321597","s","l",""]'
    rows = ",".join(row.format(price) for price in ("1.5", "NaN", "2.5", "0"))
    found = read("kraken", f'[0,[{rows}],"trade","XBT/USD"]')
    assert found.trades["source_index"].to_list() == [0, 2]
    assert found.dead_letters["source_index"].to_list() == [1, 3]
    assert set(found.dead_letters["scope"]) == {SCOPE_TRADE}
    assert found.bronze["trades"].to_list() == [2]


def test_a_frame_of_bad_trades_alone_is_one_letter() -> None:
    """Its details are told together."""
    row = '["0","0.1","1534614057.321597","s","l",""]'
    found = read("kraken", f'[0,[{row},{row}],"trade","XBT/USD"]')
    assert found.bronze["kind"].to_list() == [KIND_DEAD]
    (letter,) = found.dead_letters.rows(named=True)
    assert (letter["scope"], letter["source_index"]) == (SCOPE_FRAME, 0)
    assert letter["detail"].count(";") == 1


def test_rejected_frames_are_letters_whole() -> None:
    """Whatever they hold."""
    frames = pl.DataFrame([(5, "c", 0, "x"), (6, "c", 1, "")], schema=FRAMES, orient="row")
    found = reject_frames("nowhere", frames, "unknown_exchange", "why")
    assert found.bronze["kind"].to_list() == [KIND_DEAD, KIND_DEAD]
    assert found.bronze["exchange"].to_list() == ["nowhere", "nowhere"]
    assert found.dead_letters["reason"].to_list() == ["unknown_exchange"] * 2
    assert found.dead_letters["frame"].to_list() == [b"x", b""]


def test_receive_times_keep_their_nanoseconds() -> None:
    """Microseconds in one column, the rest in another."""
    bronze = read("binance", "x", recv_ns=1_700_000_000_123_456_789).bronze
    assert bronze["received_ns"].to_list() == [789]
    assert bronze["received_at"].dt.timestamp("us").to_list() == [1_700_000_000_123_456]


@given(
    st.decimals(Decimal("1e-12"), 10**9, places=12), st.decimals(Decimal("1e-12"), 10**5, places=12)
)
def test_amounts_are_exact(price: Decimal, quantity: Decimal) -> None:
    """Twelve decimals go through; their product is exact to eighteen, then half-even."""
    frame = json.dumps(
        {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": f"{price:f}", "q": f"{quantity:f}",
         "T": 1, "m": True, "M": True}, separators=(",", ":"),
    )  # fmt: skip
    (trade,) = read("binance", frame).trades.rows(named=True)
    assert (trade["price"], trade["quantity"]) == (price, quantity)
    with localcontext(prec=80):
        assert trade["quote_volume"] == (price * quantity).quantize(Decimal("1e-18"))


@pytest.mark.parametrize("exchange", NAMES)
def test_no_frame_at_all_is_fine(exchange: str) -> None:
    """A batch may be empty."""
    found = read(exchange)
    assert found.bronze.is_empty()
    assert found.trades.is_empty()
    assert found.dead_letters.is_empty()


@pytest.mark.parametrize("exchange", NAMES)
def test_what_happened_to_a_connection_is_a_control_frame(exchange: str) -> None:
    """A feed's own frames stand among the exchange's, and are no dead letters."""
    found = read(
        exchange,
        '{"candlewax":"disconnected","exchange":"x","connection":"x-0","code":1006,"reason":""}',
        '{"candlewax":null}',
    )
    assert found.bronze["kind"].to_list() == [KIND_CONTROL, KIND_CONTROL]
    assert found.dead_letters.is_empty()


def test_a_trade_knows_how_it_came() -> None:
    """By the name of its frame's connection alone; a bad trade among them changes nothing."""
    names = ["b0", "rest/BTCUSDT", "dump/BTCUSDT", "restless", "my/rest/x", "b0"]
    rows = [(RECEIVED_NS, name, n, "") for n, name in enumerate(names)]
    frames = pl.DataFrame(rows, FRAMES, orient="row").with_columns(
        source=pl.lit("log"), source_partition=pl.lit(0, pl.UInt32), source_offset="seq"
    )
    native = pl.DataFrame(
        [
            {"s": "BTCUSDT", "t": str(n), "p": "1", "q": "1", "T": "1790000000000", "m": "true"}
            for n in range(len(names))
        ]
    ).with_columns(row=pl.int_range(len(names), dtype=pl.UInt32), index=pl.lit(0, pl.UInt16))
    worse = native.with_columns(p=pl.when(pl.col("t") == "5").then(pl.lit("-1")).otherwise("p"))
    for table in (native, worse):
        found = normalize(table, SPOT, frames, "binance", INSTRUMENTS).trades
        assert found["via"].to_list() == [1, 2, 3, 1, 1, 1][: found.height]
        assert found.height == native.height - (table is worse)
