"""Messages that are no trades, and messages that other programs write."""

import json
from decimal import Decimal
from itertools import product
from typing import Any

import polars as pl
import pytest

from candlewax.core.trades.messages import from_json
from tests.support.trade_messages import BAD_MESSAGES, encoded, trade


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ("timestamp", 1_750_000_060_100_000),
        ("quantity", "999999999999999999.999999999999"),
        ("quote_volume", "999999999999999.999999999999999999"),
        ("price", "0.000000000001"),
    ],
)
def test_message_at_its_limit_is_a_trade(field: str, limit: Any) -> None:
    """The next value is a fault, see BAD_MESSAGES."""
    read = from_json([encoded(trade(**{field: limit}))])
    assert read.faults.is_empty()
    value = read.trades.with_columns(pl.col("timestamp").cast(pl.Int64))[field].item()
    assert value == (limit if isinstance(limit, int) else Decimal(limit))


def test_bad_messages_are_faults_and_their_neighbours_are_read() -> None:
    """Each fault has the row and the reason."""
    values = [encoded(trade(sequence=1)), *(value for value, _ in BAD_MESSAGES)]
    values.append(encoded(trade(sequence=3)))
    read = from_json(values)
    assert read.trades["sequence"].to_list() == [1, 3]
    assert read.trades["row"].to_list() == [0, len(values) - 1]
    faults = read.faults.sort("row")
    assert faults["row"].to_list() == list(range(1, len(values) - 1))
    assert set(faults["reason"]) == {"bad_message"}
    for detail, (value, expected) in zip(faults["detail"], BAD_MESSAGES, strict=True):
        assert expected in detail, (value, detail)


def test_bad_message_alone_is_one_fault() -> None:
    for value, _ in BAD_MESSAGES:
        read = from_json([value])
        assert read.trades.is_empty(), value[:200]
        assert read.faults["row"].to_list() == [0], value[:200]


def test_two_bad_messages_together_are_two_faults() -> None:
    """Even if both together have as many lines with a trade as there are messages."""
    unreadable = [value for value, _ in (*BAD_MESSAGES[:7], *BAD_MESSAGES[-2:])]
    for pair in product(unreadable, repeat=2):
        read = from_json(pair)
        assert read.trades.is_empty(), pair
        assert sorted(read.faults["row"].to_list()) == [0, 1], pair


def test_message_of_several_lines_is_read() -> None:
    values = [json.dumps(trade(sequence=number), indent=1).encode() for number in (1, 2)]
    for messages in (values, values[:1], [encoded(trade(sequence=1)), values[1]]):
        read = from_json(messages)
        assert read.trades["sequence"].to_list() == [1, 2][: len(messages)]
        assert read.faults.is_empty()


def test_unknown_fields_of_a_message_are_skipped() -> None:
    """Later versions may add fields."""
    read = from_json([encoded(trade(vendor_data={"b": "1"}, inserted_at=1, more=[{}]))])
    assert read.trades.height == 1
    assert from_json([]).trades.is_empty()


def test_message_without_via_is_of_a_websocket() -> None:
    read = from_json([encoded(trade()), encoded(trade(via="dump"))])
    assert read.trades["via"].to_list() == [1, 3]
