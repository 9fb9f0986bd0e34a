"""Open candles at their limits: the watermark and the allowed lateness."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from candlewax.core.candles import combine as candles
from candlewax.core.candles import open_candles as books
from candlewax.core.candles.open_candles import (
    ALLOWED_LATENESS_US,
    EMPTY,
    WATERMARK_DELAY_US,
    CandleUpdate,
    OpenCandles,
    mark_feed_end,
)
from candlewax.core.gaps.gap_state import OUTAGES, GapState
from candlewax.core.schema import TRADES, empty
from tests.support.candles import DAY, NAMES, fill, table
from tests.support.oracle import Fill

SECOND = 1_000_000
MINUTE = 60 * SECOND
A_DAY = 86_400 * SECOND


def trade(time: int, **more: Any) -> Fill:
    """A trade at a time in microseconds since midnight."""
    return fill(0, time=DAY + time, **more)


def other(watermark: int, number: int = 1) -> Fill:
    """A trade of another symbol that moves the watermark to a time since midnight."""
    return trade(watermark + WATERMARK_DELAY_US, symbol="C/D", sequence=number)


def add(
    book: OpenCandles, fills: Sequence[Fill], gap_state: GapState | None = None
) -> CandleUpdate:
    """Apply a batch."""
    trades = table(fills)
    return books.apply_trades(
        book, trades, books.batch_watermark(trades), gap_state=gap_state or GapState()
    )


def minutes(frame: pl.DataFrame, symbol: str = "A/B") -> list[int]:
    """The starts of a symbol's one-minute candles, in seconds since midnight."""
    return sorted(
        int(row["window_start"].timestamp()) - DAY // SECOND
        for row in frame.rows(named=True)
        if row["symbol"] == symbol and NAMES[row["timeframe"]] == "1m"
    )


def down(*times: tuple[int, int]) -> GapState:
    """The gap state of a feed with these outages, in microseconds since midnight."""
    return GapState(
        outages=pl.DataFrame([(DAY + a, DAY + b) for a, b in times], OUTAGES, orient="row")
    )


@pytest.mark.parametrize(("watermark", "closes"), [(-1, False), (0, True), (1, True)])
def test_window_closes_when_the_watermark_reaches_its_end(watermark: int, closes: bool) -> None:
    """Even if the batch has no trade in the window."""
    book = add(EMPTY, [trade(5 * SECOND)]).open_candles
    update = add(book, [other(MINUTE + watermark)])
    assert minutes(update.changed) == ([0] if closes else [])


def test_window_that_ended_at_the_watermark_closes_once() -> None:
    """The next batch, a minute later, does not emit it again."""
    book = add(EMPTY, [trade(5 * SECOND)]).open_candles
    book = add(book, [other(MINUTE)]).open_candles
    update = add(book, [other(2 * MINUTE, 2)])
    assert minutes(update.changed) == []
    assert minutes(update.changed, "C/D") == [60, 120]


@pytest.mark.parametrize(("late", "kept"), [(-1, True), (0, False), (1, False)])
def test_closed_candle_is_kept_until_the_allowed_lateness_has_passed(late: int, kept: bool) -> None:
    """In memory, when restored from stored trades, and when a late trade opens it."""
    watermark = MINUTE + ALLOWED_LATENESS_US + late
    old = [trade(5 * SECOND)]
    book = add(add(EMPTY, old).open_candles, [other(watermark)]).open_candles
    assert minutes(book.candles) == ([0] if kept else [])
    restored = books.restore(candles.combine(table(old)), DAY + watermark)
    assert minutes(restored.candles) == ([0] if kept else [])
    update = add(OpenCandles(EMPTY.candles, DAY + watermark), [trade(6 * SECOND)])
    assert (minutes(update.changed), minutes(update.stale_parts)) == (
        ([0], []) if kept else ([], [0])
    )


def test_outage_is_kept_as_long_as_the_candle_of_its_day() -> None:
    """Late trades may still change that candle, so its first outage must outlast a new one."""
    last = A_DAY + ALLOWED_LATENESS_US - 1
    book = add(EMPTY, [trade(5 * SECOND)], down((0, SECOND))).open_candles
    book = add(book, [other(last)]).open_candles
    update = add(book, [other(last, 2)], down((last - SECOND, last)))
    day = candles.TIMEFRAMES["1d"][0]
    assert (
        update.open_candles.candles.filter(pl.col("timeframe") == day)["symbol"]
        .to_list()
        .count("A/B")
        == 1
    )
    assert update.open_candles.outages.rows() == [
        (DAY, DAY + SECOND),
        (DAY + last - SECOND, DAY + last),
    ]


def test_outage_of_a_small_batch_is_applied() -> None:
    """The fast path for small batches must not skip it."""
    book = add(EMPTY, [trade(5 * SECOND)]).open_candles
    update = add(book, [trade(7 * SECOND, sequence=2)], down((6 * SECOND, 7 * SECOND)))
    assert update.open_candles.outages.rows() == [(DAY + 6 * SECOND, DAY + 7 * SECOND)]
    assert update.spans.rows() == [(None, DAY + 6 * SECOND, DAY + 7 * SECOND - 1)]


@pytest.mark.parametrize(
    ("before", "now", "ends"),
    [(MINUTE - 1, MINUTE, [0]), (MINUTE, MINUTE, []), (MINUTE - 2, MINUTE - 1, [])],
    ids=["reached now", "reached before", "not reached"],
)
def test_feed_end_marks_only_candles_closed_since_the_last_watermark(
    before: int, now: int, ends: list[int]
) -> None:
    """Candles that an earlier watermark closed had closed while the feed was up."""
    book = add(EMPTY, [trade(5 * SECOND)]).open_candles
    none = empty(TRADES)
    book = books.apply_trades(book, none, DAY + before).open_candles
    update = books.apply_trades(book, none, DAY + now)
    # All open candles, also those emitted before.
    everything = CandleUpdate(update.open_candles, update.open_candles.candles, none, none, none)
    marked = mark_feed_end(everything, DAY + before)
    assert minutes(marked.feed_ends) == ends
