"""Trades as JSON messages."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.schema import SCOPE_FRAME, SCOPE_LINE, TRADES
from candlewax.core.trades.messages import from_json, to_json
from candlewax.kafka.trade_publisher import encode_dead_letter
from tests.support.trade_messages import EPOCH, encoded, frame, letter, rows, trade


@given(rows())
def test_message_holds_every_field_of_its_trade(trade_rows: list[dict[str, Any]]) -> None:
    """Decimals are strings, times are whole microseconds."""
    via_names = {1: "websocket", 2: "rest", 3: "dump"}
    for text, row in zip(to_json(frame(trade_rows)), trade_rows, strict=True):
        message = json.loads(text)
        vendor = {n[7:]: v for n, v in row.items() if n.startswith("vendor.") and v is not None}
        assert message.pop("vendor_data", {}) == vendor
        for name in ("price", "quantity", "quote_volume"):
            assert isinstance(message[name], str)
            assert Decimal(message.pop(name)) == row[name]
        for name in ("timestamp", "received_at"):
            assert EPOCH + timedelta(microseconds=message.pop(name)) == row[name]
        assert message.pop("side") == ("BUY" if row["side"] == 1 else "SELL")
        assert message.pop("via", "websocket") == via_names[row["via"]]
        assert message.pop("numbering", 0) == row["numbering"]
        assert message.pop("conditions") == ([row["condition"]] if row["condition"] else [])
        assert message == {name: row[name] for name in message}
        assert len(message) == 11


@given(rows())
def test_message_reads_back_as_the_same_trade(trade_rows: list[dict[str, Any]]) -> None:
    trades = frame(trade_rows)
    read = from_json([text.encode() for text in to_json(trades)])
    assert read.faults.is_empty()
    assert read.trades["row"].to_list() == list(range(len(trade_rows)))
    assert read.trades.select(*TRADES).to_dicts() == trades.select(*TRADES).to_dicts()
    assert dict(read.trades.drop("row").schema) == dict(trades.select(*TRADES).schema)


def test_amounts_in_messages_have_no_trailing_zeros_and_no_exponent() -> None:
    row = {
        **trade(), "timestamp": EPOCH, "received_at": EPOCH, "side": 1, "price": Decimal(100),
        "quantity": Decimal("0.000000000001"), "quote_volume": Decimal("0.0000000001"),
        "condition": None, "via": 1, "numbering": 0,
    }  # fmt: skip
    del row["conditions"]
    message = json.loads(to_json(frame([row]))[0])
    assert (message["price"], message["quantity"]) == ("100", "0.000000000001")
    assert message["quote_volume"] == "0.0000000001"


def test_outages_of_messages_belong_to_their_exchange() -> None:
    """A message may have none."""
    values = [
        trade(outages=[[1, 2], [5, 9]]), trade(), trade(exchange="kraken", outages=[[3, 4]]),
        trade(outages=None), trade(exchange="nasdaq", outages=[[6, 7]]),
    ]  # fmt: skip
    read = from_json([encoded(value) for value in values])
    assert read.trades.height == 4
    assert read.outages.rows() == [("binance", 1, 2), ("binance", 5, 9), ("kraken", 3, 4)]
    assert from_json([encoded(trade())]).outages.is_empty()


@given(rows(), st.data())
def test_outages_of_messages_read_back_in_order(
    trade_rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Messages without outages add none."""
    pair = st.tuples(st.integers(0, 10**15), st.integers(1, 10**15)).map(lambda p: [p[0], sum(p)])
    outages = [data.draw(st.none() | st.lists(pair, min_size=1, max_size=2)) for _ in trade_rows]
    trades = frame(trade_rows).with_columns(
        pl.Series("outages", outages, pl.List(pl.List(pl.Int64)))
    )
    texts = to_json(trades)
    assert [json.loads(text).get("outages") for text in texts] == outages
    read = from_json([text.encode() for text in texts])
    assert read.trades.height == len(trade_rows)
    expected = [
        (row["exchange"], *outage)
        for row, row_outages in zip(trade_rows, outages, strict=True)
        for outage in row_outages or []
    ]
    assert read.outages.rows() == expected


def test_messages_name_the_number_of_shards() -> None:
    """Older ones have none."""
    read = from_json([encoded(trade(shards=count)) for count in (2, 4, 2)] + [encoded(trade())])
    assert read.trades.height == 4
    assert read.shard_counts == {("binance", 2): 2, ("binance", 4): 1}


def test_conditions_of_a_message_are_joined() -> None:
    """Either of them excludes the trade from candles."""
    read = from_json([encoded(trade(conditions=["ADL", "INSURANCE"]))])
    assert read.trades["condition"].to_list() == ["ADL, INSURANCE"]


def test_dead_letter_message_holds_all_its_fields() -> None:
    """The frame is text."""
    message = json.loads(encode_dead_letter(letter()))
    assert message == letter(
        received_at=1_749_988_800_000_001, scope="trade", frame='{"a":"é"}'
    )  # fmt: skip


def test_dead_letter_message_holds_bytes_as_base64() -> None:
    """A line of a frame log has no receive time."""
    message = json.loads(
        encode_dead_letter(letter(frame=b"\xff", received_at=None, scope=SCOPE_LINE))
    )
    assert (message["frame"], message["frame_base64"]) == (None, "/w==")
    assert (message["received_at"], message["scope"]) == (None, "line")
    assert json.loads(encode_dead_letter(letter(scope=SCOPE_FRAME)))["scope"] == "frame"
