"""The table of the latest candles at every size of a screen."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from candlewax.pipeline.reports.candle_table import (
    DROPPED,
    Row,
    Screen,
    choose_columns,
    choose_page,
    join_status,
    render,
    to_row,
)


def row(symbol: str, amount: str) -> Row:
    candle = dict.fromkeys(("open", "high", "low", "close", "volume"), Decimal(amount))
    minute = datetime(2026, 9, 15, 12, 34, tzinfo=UTC)
    facts = {"exchange": "x", "symbol": symbol, "minute": minute, "trade_count": 12_345}
    return to_row({**candle, **facts, "closed": True})


ROWS = [row("A/B", "0.000000012345"), row("LONG/NAME:C", "123456789.5")]
NUMBERS = ("0.000000012345", "123,456,789.5")


@pytest.mark.parametrize("width", range(1, 140))
def test_lines_fit_and_numbers_are_whole(width: int) -> None:
    """From one column on: below the width of a price nothing fits, and it is whole all the same."""
    widths = choose_columns(ROWS, width)
    lines = [line.plain for line in render(ROWS, ["", ""], widths)]
    if width >= len(NUMBERS[0]):
        assert max(map(len, lines)) <= width
    for line, number in zip(lines[2:], NUMBERS, strict=True):
        amounts = [name for name in widths if name in {"open", "high", "low", "close", "volume"}]
        assert line.split().count(number) == len(amounts) > 0


def test_columns_are_dropped_in_their_order() -> None:
    """A narrower screen never shows a column that a wider one lacks."""
    kept = [set(choose_columns(ROWS, width)) for width in range(140, 15, -1)]
    assert all(narrow <= wide for wide, narrow in pairwise(kept))
    gone = [name for wide, narrow in pairwise(kept) for name in wide - narrow]
    assert gone[: len(DROPPED)] == list(DROPPED)
    assert choose_columns(ROWS, None) == choose_columns(ROWS, 140)


def test_pages_hold_each_market_once_and_turn_around() -> None:
    pages = [choose_page(34, Screen(80, 24).rows, number)[0] for number in range(-2, 4)]
    assert [(page.begin, page.end) for page in pages] == [(0, 20), (20, 34)] * 3
    assert str(pages[0]) == "1 to 20 of 34 markets"
    everything, number = choose_page(20, 20, 3)
    assert (str(everything), number) == ("", 0)
    assert choose_page(0, 20, 1)[0].total == 0


def test_status_leaves_out_whole_parts_of_the_highest_rank_first() -> None:
    parts = [(0, "aaaa"), (2, "bbbb"), (1, "cccc"), (2, "dddd"), (0, "")]
    assert join_status(parts, None) == "aaaa · bbbb · cccc · dddd"
    assert join_status(parts, 24) == "aaaa · bbbb · cccc"
    assert join_status(parts, 17) == "aaaa · cccc"
    assert join_status(parts, 10) == "aaaa"
