"""Decoding: every frame becomes trades, a control frame or a dead letter."""

import json
from decimal import Decimal, localcontext
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
from tests.support.frame_texts import NAMES, TEXTS, valid_frames


@given(st.sampled_from(NAMES), st.lists(TEXTS, max_size=8))
def test_every_frame_is_stored_and_counted_for_any_text(exchange: str, texts: list[str]) -> None:
    """Frames, trades and dead letters add up, and each dead letter holds its frame."""
    decoded = read(exchange, *texts)
    bronze = decoded.bronze
    assert bronze["frame"].to_list() == texts
    assert dict(bronze.schema) == dict(pl.DataFrame(schema=BRONZE).schema)
    assert dict(decoded.dead_letters.schema) == dict(pl.DataFrame(schema=DEAD_LETTERS).schema)
    assert bronze["trades"].sum() == decoded.trades.height
    of_frames = decoded.dead_letters.filter(pl.col("scope") == SCOPE_FRAME)
    dead = bronze.filter(pl.col("kind") == KIND_DEAD)
    assert of_frames["source_offset"].to_list() == dead["source_offset"].to_list()
    for letter in decoded.dead_letters.rows(named=True):
        assert letter["frame"] == texts[letter["source_offset"]].encode()
        assert letter["reason"]
        assert letter["detail"]


@given(st.lists(valid_frames(), min_size=1, max_size=6))
def test_fast_and_general_path_decode_equally(frames: list[tuple[str, str, str]]) -> None:
    """The layout of a frame changes neither its trades nor its dead letters."""
    for exchange in ("binance", "kraken"):
        compact = read(exchange, *(a for name, a, _ in frames if name == exchange))
        spaced = read(exchange, *(b for name, _, b in frames if name == exchange))
        columns = sorted(set(compact.trades.columns) & set(spaced.trades.columns))
        assert compact.trades.select(columns).equals(spaced.trades.select(columns))
        facts = ["source_offset", "source_index", "scope", "reason", "detail"]
        assert compact.dead_letters.select(facts).equals(spaced.dead_letters.select(facts))


@given(st.lists(st.one_of(TEXTS, valid_frames().map(lambda f: f[1])), min_size=1, max_size=10))
def test_small_and_large_batches_decode_equally(texts: list[str]) -> None:
    """Frame by frame or in columns, trades and dead letters are equal."""
    for exchange in ("binance", "kraken", "coinbase"):
        large, small = read(exchange, *texts), read(exchange, *texts, few=len(texts))
        assert large.bronze.equals(small.bronze)
        assert large.dead_letters.equals(small.dead_letters)
        columns = sorted(set(large.trades.columns) & set(small.trades.columns))
        assert large.trades.select(columns).equals(small.trades.select(columns))
        for column in set(large.trades.columns) ^ set(small.trades.columns):
            for trades in (large.trades, small.trades):
                assert column not in trades.columns or trades[column].null_count() == trades.height


@given(
    st.lists(st.one_of(TEXTS, valid_frames().map(lambda f: f[1])), min_size=1, max_size=10),
    st.data(),
)
def test_decoding_is_the_same_for_any_cut_into_batches(
    texts: list[str], data: st.DataObject
) -> None:
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


def test_frame_of_ten_megabytes_is_decoded_or_kept_as_dead_letter() -> None:
    """Size alone is no fault."""
    row = '["1.5","0.1","1534614057.321597","s","l",""]'
    large = "[0,[" + ",".join([row] * 60_000) + '],"trade","XBT/USD"]'
    garbage = "x" * 10_000_000
    truncated = large[:-1] + "?"
    decoded = read("kraken", large, garbage, truncated)
    assert decoded.bronze["trades"].to_list() == [60_000, 0, 0]
    assert decoded.trades["trade_id"].n_unique() == 60_000
    assert decoded.dead_letters["reason"].to_list() == ["bad_json", "bad_json"]
    assert decoded.dead_letters["frame"][0] == garbage.encode()


def test_frame_of_65_536_trades_is_a_dead_letter() -> None:
    """The number of trades of a frame is stored in 16 bits."""
    row = '["1.5","0.1","1534614057.321597","s","l",""]'
    frame = "[0,[" + ", ".join([row] * 65_536) + '],"trade","XBT/USD"]'
    assert read("kraken", frame).dead_letters["reason"].to_list() == ["too_many_trades"]


@pytest.mark.parametrize(("count", "reasons"), [(3, []), (4, ["too_many_trades"])])
def test_frame_of_max_trades_is_decoded_and_one_more_is_a_dead_letter(
    count: int, reasons: list[str]
) -> None:
    """For a frame of a websocket and for lines of a dump."""
    row = '["1.5","0.1","1534614057.321597","s","l",""]'
    frame = "[0,[" + ",".join([row] * count) + '],"trade","XBT/USD"]'
    lines = "\n".join(f"{n},1.5,0.1,0.15,1700000000000,True,True" for n in range(1, count + 1))
    with mock.patch("candlewax.core.trades.decode.MAX_TRADES", 3):
        live = read("kraken", frame, few=1)
        dump = read("binance", lines, connection=FROM_DUMP + "BTCUSDT")
    for decoded in (live, dump):
        assert decoded.dead_letters["reason"].to_list() == reasons
        assert decoded.bronze["trades"].to_list() == [0 if reasons else count]


def test_trade_of_too_many_fields_is_a_dead_letter() -> None:
    """Each field would be a column of all trades of the batch."""
    fields = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "T": 1, "m": True}
    wide = {**fields, **{f"k{n}": n for n in range(60)}}
    decoded = read("binance", json.dumps(fields), json.dumps(wide))
    assert decoded.trades.height == 1
    assert decoded.dead_letters["reason"].to_list() == ["bad_shape"]
    assert "68 fields" in decoded.dead_letters["detail"][0]


def test_deeply_nested_json_is_a_dead_letter() -> None:
    assert read("kraken", "[" * 100_000).dead_letters["reason"].to_list() == ["bad_json"]


def test_bad_trades_beside_good_ones_are_dead_letters_of_their_own() -> None:
    """Each dead letter holds the place of its trade in the frame."""
    row = '["{}","0.1","1534614057.321597","s","l",""]'
    rows = ",".join(row.format(price) for price in ("1.5", "NaN", "2.5", "0"))
    decoded = read("kraken", f'[0,[{rows}],"trade","XBT/USD"]')
    assert decoded.trades["source_index"].to_list() == [0, 2]
    assert decoded.dead_letters["source_index"].to_list() == [1, 3]
    assert set(decoded.dead_letters["scope"]) == {SCOPE_TRADE}
    assert decoded.bronze["trades"].to_list() == [2]


def test_frame_of_bad_trades_only_is_one_dead_letter() -> None:
    """Its detail lists the reasons of all trades."""
    row = '["0","0.1","1534614057.321597","s","l",""]'
    decoded = read("kraken", f'[0,[{row},{row}],"trade","XBT/USD"]')
    assert decoded.bronze["kind"].to_list() == [KIND_DEAD]
    (letter,) = decoded.dead_letters.rows(named=True)
    assert (letter["scope"], letter["source_index"]) == (SCOPE_FRAME, 0)
    assert letter["detail"].count(";") == 1


def test_rejected_frames_are_dead_letters_with_their_whole_text() -> None:
    frames = pl.DataFrame([(5, "c", 0, "x"), (6, "c", 1, "")], schema=FRAMES, orient="row")
    decoded = reject_frames("nowhere", frames, "unknown_exchange", "why")
    assert decoded.bronze["kind"].to_list() == [KIND_DEAD, KIND_DEAD]
    assert decoded.bronze["exchange"].to_list() == ["nowhere", "nowhere"]
    assert decoded.dead_letters["reason"].to_list() == ["unknown_exchange"] * 2
    assert decoded.dead_letters["frame"].to_list() == [b"x", b""]


def test_receive_times_keep_their_nanoseconds() -> None:
    """Microseconds are in one column, the remaining nanoseconds in another."""
    bronze = read("binance", "x", recv_ns=1_700_000_000_123_456_789).bronze
    assert bronze["received_ns"].to_list() == [789]
    assert bronze["received_at"].dt.timestamp("us").to_list() == [1_700_000_000_123_456]


@given(
    st.decimals(Decimal("1e-12"), 10**9, places=12), st.decimals(Decimal("1e-12"), 10**5, places=12)
)
def test_amounts_are_exact_and_quote_volume_is_rounded_half_even(
    price: Decimal, quantity: Decimal
) -> None:
    """Amounts have twelve decimals, quote volume eighteen."""
    frame = json.dumps(
        {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": f"{price:f}", "q": f"{quantity:f}",
         "T": 1, "m": True, "M": True}, separators=(",", ":"),
    )  # fmt: skip
    (trade,) = read("binance", frame).trades.rows(named=True)
    assert (trade["price"], trade["quantity"]) == (price, quantity)
    with localcontext(prec=80):
        assert trade["quote_volume"] == (price * quantity).quantize(Decimal("1e-18"))


@pytest.mark.parametrize("exchange", NAMES)
def test_empty_batch_decodes_to_empty_tables(exchange: str) -> None:
    decoded = read(exchange)
    assert decoded.bronze.is_empty()
    assert decoded.trades.is_empty()
    assert decoded.dead_letters.is_empty()


@pytest.mark.parametrize("exchange", NAMES)
def test_connection_event_of_the_feed_is_a_control_frame(exchange: str) -> None:
    """The feed writes such events among the exchange's frames."""
    decoded = read(
        exchange,
        '{"candlewax":"disconnected","exchange":"x","connection":"x-0","code":1006,"reason":""}',
        '{"candlewax":null}',
    )
    assert decoded.bronze["kind"].to_list() == [KIND_CONTROL, KIND_CONTROL]
    assert decoded.dead_letters.is_empty()


def test_via_of_a_trade_follows_the_connection_name() -> None:
    """A bad trade in the batch does not shift it."""
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
    with_bad_trade = native.with_columns(
        p=pl.when(pl.col("t") == "5").then(pl.lit("-1")).otherwise("p")
    )
    for table in (native, with_bad_trade):
        trades = normalize(table, SPOT, frames, "binance", INSTRUMENTS).trades
        assert trades["via"].to_list() == [1, 2, 3, 1, 1, 1][: trades.height]
        assert trades.height == native.height - (table is with_bad_trade)
