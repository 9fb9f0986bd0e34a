"""Responses with trades, read by the format of their rows."""

from typing import Any

import pytest

from candlewax.exchanges.protocol.fields import TEXT, FrameError, fields_of
from candlewax.exchanges.protocol.rest import NATIVE_SYMBOL, require_list
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.trade_responses import TradeResponses

FORMAT = TradeFormat("market", "id", "ms", "side", "price", "size")
FIELDS = fields_of(TEXT, "id", "ms", "side", "price", "size")
NUMBERED = TradeResponses(FORMAT, FIELDS, require_list, number="id")
LATEST_FIRST = TradeResponses(FORMAT, FIELDS, require_list, is_newest_first=True)


def row(trade_id: str, ms: str = "5") -> dict[str, Any]:
    """Return a row of a response."""
    return {"id": trade_id, "ms": ms, "side": "buy", "price": "1", "size": "2"}


def test_rows_get_the_requested_symbol_and_stay_in_their_order() -> None:
    reading = NUMBERED.read("BTC-USD", [row("2"), row("1")])
    assert reading == (
        NUMBERED.dialect,
        [{**row("2"), NATIVE_SYMBOL: "BTC-USD"}, {**row("1"), NATIVE_SYMBOL: "BTC-USD"}],
    )


def test_rows_that_come_newest_first_are_turned_around() -> None:
    reading = LATEST_FIRST.read("BTC-USD", [row("b"), row("a")])
    assert reading is not None
    assert [trade["id"] for trade in reading[1] if isinstance(trade, dict)] == ["a", "b"]


def test_symbol_of_a_row_is_mapped_beside_the_requested_one() -> None:
    assert {"market", NATIVE_SYMBOL} <= NUMBERED.dialect.mapped


def test_page_has_numbers_and_times_in_ascending_order() -> None:
    page = NUMBERED.parse_page([row("12", "6"), row("11", "5")])
    assert (page.numbers, page.times_us, page.unreadable_rows) == ([11, 12], [5000, 6000], 0)


@pytest.mark.parametrize("bad", [row("x"), row("1" * 21), row("1", "noon"), {"id": "1"}, "row"])
def test_row_without_number_or_time_is_unreadable_in_a_page(bad: object) -> None:
    page = NUMBERED.parse_page([bad, row("7")])
    assert (page.numbers, page.unreadable_rows) == ([7], 1)


def test_ids_are_no_numbers_unless_declared() -> None:
    assert LATEST_FIRST.parse_page([row("x")]).numbers == [0]


def test_response_of_another_form_is_refused() -> None:
    for read in (NUMBERED.parse_page, lambda content: NUMBERED.read("BTC-USD", content)):
        with pytest.raises(FrameError, match="a list of trades"):
            read({"trades": []})
