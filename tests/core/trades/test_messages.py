"""Trades as messages: JSON and back."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.schema import SCOPE_FRAME, SCOPE_LINE, SCOPE_TRADE, TRADES
from candlewax.core.trades.messages import from_json, message_key, to_json
from candlewax.exchanges import EXCHANGES
from candlewax.kafka.trade_publisher import encode_dead_letter

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = 253_402_300_799_999_999 - 60_000_000

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NAMES = st.text(st.sampled_from('ABC/:"\\\n\t ,{}nul\u2028é'), min_size=1, max_size=8)
AMOUNTS = st.integers(1, 10**30 - 1).map(lambda n: Decimal(f"{n}e-12"))
VOLUMES = st.integers(0, 10**33 - 1).map(lambda n: Decimal(f"{n}e-18"))
TIMES = st.integers(0, LATEST).map(lambda n: EPOCH + timedelta(microseconds=n))


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Trades with any values, some with fields of their exchange that others lack."""
    received = draw(TIMES)
    fields = draw(st.lists(NAMES, max_size=3, unique=True))
    return [
        {
            "exchange": draw(st.sampled_from(sorted(EXCHANGES))),
            "symbol": draw(NAMES),
            "native_symbol": draw(NAMES),
            "base": draw(NAMES),
            "quote": draw(NAMES),
            "trade_id": draw(TEXTS),
            "sequence": draw(st.one_of(st.integers(0, 2**64 - 1), st.just(2**64 - 1))),
            "timestamp": min(draw(TIMES), received + timedelta(seconds=60)),
            "side": draw(st.sampled_from([1, 2])),
            "price": draw(AMOUNTS),
            "quantity": draw(AMOUNTS),
            "quote_volume": draw(VOLUMES),
            "condition": draw(st.one_of(st.none(), NAMES)),
            "received_at": received,
            "source": draw(TEXTS),
            "source_partition": draw(st.integers(0, 2**32 - 1)),
            "source_offset": draw(st.integers(0, 2**64 - 1)),
            "source_index": draw(st.integers(0, 2**16 - 1)),
            "via": draw(st.sampled_from([1, 2, 3])),
            "numbering": draw(st.sampled_from([0, 0, 0, 7, 2**32 - 1])),
            **{f"vendor.{name}": draw(st.one_of(st.none(), TEXTS)) for name in fields},
        }
        for _ in range(draw(st.integers(1, 5)))
    ]


def frame(found: list[dict[str, Any]]) -> pl.DataFrame:
    vendor = {name: pl.String for name in found[0] if name.startswith("vendor.")}
    return pl.DataFrame(found, schema={**TRADES, **vendor}, orient="row")


def trade(**changed: Any) -> dict[str, Any]:
    """A message, as plain JSON."""
    return {
        "exchange": "binance", "symbol": "BTC/USDT", "native_symbol": "BTCUSDT", "base": "BTC",
        "quote": "USDT", "trade_id": "7", "sequence": 7, "timestamp": 1_750_000_000_000_000,
        "side": "BUY", "price": "1.5", "quantity": "2", "quote_volume": "3", "conditions": [],
        "received_at": 1_750_000_000_100_000, "source": "raw", "source_partition": 0,
        "source_offset": 9, "source_index": 0, **changed,
    }  # fmt: skip


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode()


@given(rows())
def test_a_message_says_what_the_trade_says(found: list[dict[str, Any]]) -> None:
    """Read with plain JSON: decimals are strings, times whole microseconds."""
    ways = {1: "websocket", 2: "rest", 3: "dump"}
    for text, row in zip(to_json(frame(found)), found, strict=True):
        said = json.loads(text)
        vendor = {n[7:]: v for n, v in row.items() if n.startswith("vendor.") and v is not None}
        assert said.pop("vendor_data", {}) == vendor
        for name in ("price", "quantity", "quote_volume"):
            assert isinstance(said[name], str)
            assert Decimal(said.pop(name)) == row[name]
        for name in ("timestamp", "received_at"):
            assert EPOCH + timedelta(microseconds=said.pop(name)) == row[name]
        assert said.pop("side") == ("BUY" if row["side"] == 1 else "SELL")
        assert said.pop("via", "websocket") == ways[row["via"]]
        assert said.pop("numbering", 0) == row["numbering"]
        assert said.pop("conditions") == ([row["condition"]] if row["condition"] else [])
        assert said == {name: row[name] for name in said}
        assert len(said) == 11


@given(rows())
def test_a_message_is_read_as_it_was_written(found: list[dict[str, Any]]) -> None:
    """Every field that candles and their readers need."""
    trades = frame(found)
    read = from_json([text.encode() for text in to_json(trades)])
    assert read.faults.is_empty()
    assert read.trades["row"].to_list() == list(range(len(found)))
    assert read.trades.select(*TRADES).to_dicts() == trades.select(*TRADES).to_dicts()
    assert dict(read.trades.drop("row").schema) == dict(trades.select(*TRADES).schema)


def test_amounts_are_shown_without_the_zeros_at_their_end() -> None:
    """And never with an exponent."""
    row = {
        **trade(), "timestamp": EPOCH, "received_at": EPOCH, "side": 1, "price": Decimal(100),
        "quantity": Decimal("0.000000000001"), "quote_volume": Decimal("0.0000000001"),
        "condition": None, "via": 1, "numbering": 0,
    }  # fmt: skip
    del row["conditions"]
    said = json.loads(to_json(frame([row]))[0])
    assert (said["price"], said["quantity"]) == ("100", "0.000000000001")
    assert said["quote_volume"] == "0.0000000001"


WRONG: list[tuple[bytes, str]] = [
    (b"", "truncated"),
    (b"\xff\xfe", "malformed"),
    (b"null", "object"),
    (b"[]", "object"),
    (b"{}", "missing required field"),
    (b'{"a":' * 20_000, "recursion"),
    (b"[" * 20_000, ""),
    (encoded(trade(exchange="nasdaq")), "unknown exchange"),
    (encoded(trade(side="HOLD")), "side"),
    (encoded(trade(price=1.5)), "str"),
    (encoded(trade(price="1e3")), "exactly"),
    (encoded(trade(price="-1")), "exactly"),
    (encoded(trade(price="1.0000000000001")), "exactly"),
    (encoded(trade(price="")), "exactly"),
    (encoded(trade(price="nan")), "exactly"),
    (encoded(trade(quantity="1" * 20)), "exactly"),
    (encoded(trade(quantity="1\n")), "exactly"),
    (encoded(trade(quantity="\u0661")), "exactly"),
    (encoded(trade(quote_volume="0." + "1" * 19)), "exactly"),
    (encoded(trade(sequence=-1)), "sequence"),
    (encoded(trade(sequence=2**64)), "exactly"),
    (encoded(trade(source_offset=2**64)), "exactly"),
    (encoded(trade(source_index=65536)), "source_index"),
    (encoded(trade(source_partition=2**32)), "source_partition"),
    (encoded(trade(timestamp=253_402_300_800_000_000)), "timestamp"),
    (encoded(trade(timestamp=1_750_000_060_100_001)), "no trade can have"),
    (encoded(trade(price="0.0")), "no trade can have"),
    (encoded(trade(quantity="0")), "no trade can have"),
    (encoded(trade(quantity="1" + "0" * 18)), "no trade can have"),
    (encoded(trade(quote_volume="1" + "0" * 15)), "no trade can have"),
    (encoded(trade(timestamp=-1)), "timestamp"),
    (encoded(trade(timestamp="now")), "timestamp"),
    (encoded(trade(conditions="X")), "conditions"),
    (encoded(trade(via="pigeon")), "via"),
    (encoded(trade(outages=[[1, 2, 3]])), "outages"),
    (encoded(trade(outages=[[1, -2]])), "outages"),
    (encoded(trade(outages=[[1, 5], [7, 7]])), "outage without an end"),
    (encoded(trade()) + b"{}", "trailing"),
    (encoded(trade()) + b"\n" + encoded(trade()), "trailing"),
]


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ("timestamp", 1_750_000_060_100_000),
        ("quantity", "999999999999999999.999999999999"),
        ("quote_volume", "999999999999999.999999999999999999"),
        ("price", "0.000000000001"),
    ],
)
def test_message_within_its_limits_by_the_least_is_a_trade(field: str, limit: Any) -> None:
    """The next value is a fault, see WRONG."""
    read = from_json([encoded(trade(**{field: limit}))])
    assert read.faults.is_empty()
    found = read.trades.with_columns(pl.col("timestamp").cast(pl.Int64))[field].item()
    assert found == (limit if isinstance(limit, int) else Decimal(limit))


def test_messages_of_others_become_faults() -> None:
    """Each with its place and why, and those around it are read."""
    values = [encoded(trade(sequence=1)), *(value for value, _ in WRONG)]
    values.append(encoded(trade(sequence=3)))
    read = from_json(values)
    assert read.trades["sequence"].to_list() == [1, 3]
    assert read.trades["row"].to_list() == [0, len(values) - 1]
    faults = read.faults.sort("row")
    assert faults["row"].to_list() == list(range(1, len(values) - 1))
    assert set(faults["reason"]) == {"bad_message"}
    for said, (value, why) in zip(faults["detail"], WRONG, strict=True):
        assert why in said, (value, said)


def test_each_bad_message_by_itself_is_one_fault() -> None:
    """A batch that holds nothing else."""
    for value, _ in WRONG:
        read = from_json([value])
        assert read.trades.is_empty(), value[:200]
        assert read.faults["row"].to_list() == [0], value[:200]


def test_a_bad_message_is_a_fault_whatever_comes_with_it() -> None:
    """Also where two together have as many lines with a trade as there are messages."""
    unreadable = [value for value, _ in (*WRONG[:7], *WRONG[-2:])]
    for pair in product(unreadable, repeat=2):
        read = from_json(pair)
        assert read.trades.is_empty(), pair
        assert sorted(read.faults["row"].to_list()) == [0, 1], pair


def test_a_message_may_be_written_over_several_lines() -> None:
    """It is JSON all the same."""
    values = [json.dumps(trade(sequence=number), indent=1).encode() for number in (1, 2)]
    for found in (values, values[:1], [encoded(trade(sequence=1)), values[1]]):
        read = from_json(found)
        assert read.trades["sequence"].to_list() == [1, 2][: len(found)]
        assert read.faults.is_empty()


def test_other_fields_are_passed_over() -> None:
    """Whoever writes more later is understood."""
    read = from_json([encoded(trade(vendor_data={"b": "1"}, inserted_at=1, more=[{}]))])
    assert read.trades.height == 1
    assert from_json([]).trades.is_empty()


def test_a_message_that_does_not_say_how_its_trade_came_speaks_of_a_websocket() -> None:
    """As all do that came over one."""
    read = from_json([encoded(trade()), encoded(trade(via="dump"))])
    assert read.trades["via"].to_list() == [1, 3]


def test_a_trade_tells_of_the_outages_before_it() -> None:
    """Those of its exchange; whoever does not know of outages passes them over."""
    values = [
        trade(outages=[[1, 2], [5, 9]]), trade(), trade(exchange="kraken", outages=[[3, 4]]),
        trade(outages=None), trade(exchange="nasdaq", outages=[[6, 7]]),
    ]  # fmt: skip
    read = from_json([encoded(value) for value in values])
    assert read.trades.height == 4
    assert read.outages.rows() == [("binance", 1, 2), ("binance", 5, 9), ("kraken", 3, 4)]
    assert from_json([encoded(trade())]).outages.is_empty()


@given(rows(), st.data())
def test_outages_are_read_as_they_were_written(
    found: list[dict[str, Any]], data: st.DataObject
) -> None:
    """By the trades that tell of them, and nothing else is told by the others."""
    pair = st.tuples(st.integers(0, 10**15), st.integers(1, 10**15)).map(lambda p: [p[0], sum(p)])
    some = [data.draw(st.none() | st.lists(pair, min_size=1, max_size=2)) for _ in found]
    trades = frame(found).with_columns(pl.Series("outages", some, pl.List(pl.List(pl.Int64))))
    texts = to_json(trades)
    assert [json.loads(text).get("outages") for text in texts] == some
    read = from_json([text.encode() for text in texts])
    assert read.trades.height == len(found)
    expected = [
        (row["exchange"], *outage)
        for row, told in zip(found, some, strict=True)
        for outage in told or []
    ]
    assert read.outages.rows() == expected


def test_several_conditions_are_kept() -> None:
    """Together; either takes the trade out of candles."""
    read = from_json([encoded(trade(conditions=["ADL", "INSURANCE"]))])
    assert read.trades["condition"].to_list() == ["ADL, INSURANCE"]


def test_the_key_of_a_trade() -> None:
    """The same symbol at two exchanges is two."""
    assert message_key("kraken", "BTC/USD") == "kraken:BTC/USD"


def letter(**changed: Any) -> dict[str, Any]:
    return {
        "exchange": "kraken", "connection": "k0", "source": "raw", "source_partition": 1,
        "source_offset": 2**64 - 1, "source_index": 3,
        "received_at": datetime(2025, 6, 15, 12, 0, 0, 1, UTC), "received_ns": 7,
        "scope": SCOPE_TRADE, "reason": "bad_price", "detail": 'got "é"',
        "frame": b'{"a":"\xc3\xa9"}', **changed,
    }  # fmt: skip


def test_a_dead_letter_is_whole() -> None:
    """Its frame as text, with all that is known of it."""
    said = json.loads(encode_dead_letter(letter()))
    assert said == letter(
        received_at=1_749_988_800_000_001, scope="trade", frame='{"a":"é"}'
    )  # fmt: skip


def test_a_dead_letter_that_is_no_text_is_whole_too() -> None:
    """In base 64; and a line of a log was received at no time."""
    said = json.loads(encode_dead_letter(letter(frame=b"\xff", received_at=None, scope=SCOPE_LINE)))
    assert (said["frame"], said["frame_base64"]) == (None, "/w==")
    assert (said["received_at"], said["scope"]) == (None, "line")
    assert json.loads(encode_dead_letter(letter(scope=SCOPE_FRAME)))["scope"] == "frame"
