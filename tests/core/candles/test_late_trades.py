"""Which trades came late, against an oracle of plain Python."""

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.batch import WINDOW_KEY
from candlewax.core.candles import open_candles as books
from candlewax.core.candles.certificate import CANDLE_KEY
from candlewax.core.candles.combine import all_timeframes, combine
from candlewax.core.candles.late_trades import (
    MAX_REVISION,
    STORED_COUNTS,
    count_out_of_order,
    restore_revisions,
)
from candlewax.core.candles.open_candles import EMPTY, WATERMARK_DELAY_US, OpenCandles
from candlewax.core.schema import empty
from tests.core.candles.test_combine import DAY, FILLS, cut, fill, table
from tests.core.candles.test_combine import NAMES as FRAMES
from tests.support import oracle
from tests.support.oracle import Fill


def expected(fills: Sequence[Fill]) -> dict[oracle.Window, int]:
    """For each candle, how many of its trades came when it was closed."""
    late: dict[oracle.Window, int] = {}
    latest = 0
    for one in fills:
        for timeframe, length in oracle.LENGTHS.items():
            start = one.time // 1_000_000 // length * length
            if not one.conditions:
                window = (timeframe, one.exchange, one.symbol, start)
                closed = (start + length) * 1_000_000 <= max(0, latest - WATERMARK_DELAY_US)
                late[window] = late.get(window, 0) + closed
        latest = max(latest, one.time)
    return late


def told(frame: pl.DataFrame) -> dict[oracle.Window, int]:
    """The revision of each candle."""
    return {
        (FRAMES[row["timeframe"]], "x", row["symbol"], int(row["window_start"].timestamp())): row[
            "revision"
        ]
        for row in frame.rows(named=True)
    }


def play(batches: Sequence[Sequence[Fill]], book: OpenCandles = EMPTY) -> dict[oracle.Window, int]:
    """Put batches into a book that gives nothing up; the revisions as last told."""
    last: dict[oracle.Window, int] = {}
    for batch in batches:
        trades = table(batch)
        update = books.apply_trades(
            book, trades, books.batch_watermark(trades), allowed_lateness_us=10**15
        )
        book = update.open_candles
        last |= told(update.changed)
    return last


@pytest.mark.parametrize(
    ("seconds", "latest", "count"),
    [
        ([], 9, 0), ([5, 5, 6], 0, 0), ([5, 5, 6], 5, 0), ([5, 5, 6], 6, 2), ([5, 6, 6, 5], 0, 1),
        ([6, 5, 5, 6, 7], 0, 2), ([6, 5, 5, 6, 7], 7, 4),
    ],
)  # fmt: skip
def test_trade_is_out_of_order_if_it_is_older_than_one_before_it(
    seconds: list[int], latest: int, count: int
) -> None:
    """Not if it is as old; `latest` is the second of the latest one of the batches before."""
    trades = table([fill(second, sequence=n + 1) for n, second in enumerate(seconds)])
    assert count_out_of_order(trades, DAY + latest * 1_000_000) == count


@given(FILLS, st.lists(st.integers(0, 40), max_size=6))
def test_revisions_do_not_depend_on_the_cut(fills: list[Fill], places: list[int]) -> None:
    """Each trade is late or not by those that came before it."""
    assert play(cut(fills, places)) == expected(fills)


@given(FILLS, st.lists(st.integers(0, 40), max_size=4), st.integers(0, 5))
def test_revisions_are_known_again_from_stored_rows(
    fills: list[Fill], places: list[int], stop: int
) -> None:
    """A process that begins with what another has stored goes on counting."""
    batches = cut(fills, places)
    before = [one for batch in batches[:stop] for one in batch]
    book = EMPTY
    rows = {}
    for batch in batches[:stop]:
        trades = table(batch)
        update = books.apply_trades(
            book, trades, books.batch_watermark(trades), allowed_lateness_us=10**15
        )
        book = update.open_candles
        for row in update.changed.rows(named=True):
            name = tuple(row[n] for n in CANDLE_KEY)
            closed = row["window_end"] <= book.watermark
            rows[name] = (*name, closed, row["trade_count"], row["revision"])
    stored = pl.DataFrame(list(rows.values()), STORED_COUNTS, orient="row")
    minutes = combine(table(before))
    seeded = books.restore(minutes, book.watermark, allowed_lateness_us=10**15)
    again = restore_revisions(seeded.candles, stored, empty(WINDOW_KEY))
    whole = expected(fills)
    seen = told(again)
    assert seen == expected(before)
    assert seen | play(batches[stop:], OpenCandles(again, book.watermark)) == whole


def stored(closed: bool, trades: int, revision: int) -> pl.DataFrame:
    """A stored row of a minute."""
    name = (1, "A/B", DAY * 1)
    return pl.DataFrame([(*name, closed, trades, revision)], STORED_COUNTS, orient="row")


def revision_of(rows: pl.DataFrame, *, late: bool, trades: int = 5) -> int:
    """What a minute of so many trades is said to have been changed."""
    minute = all_timeframes(combine(table([fill(n, sequence=n + 1) for n in range(trades)])))
    minute = minute.filter(pl.col("timeframe") == 1)
    names = minute.select(pl.col(n).cast(k) for n, k in CANDLE_KEY.items())
    return int(restore_revisions(minute, rows, names if late else names.clear())["revision"].item())


def test_what_a_candle_held_as_it_closed_tells_how_many_came_late() -> None:
    """Written again it says the same."""
    assert revision_of(stored(True, 3, 1), late=True) == 3
    assert revision_of(stored(True, 5, 3), late=True) == 3
    assert revision_of(stored(True, 5, 3), late=False) == 3


def test_all_trades_of_a_candle_that_closed_without_any_came_late() -> None:
    """If some come late now; of others nobody knows."""
    assert revision_of(empty(STORED_COUNTS), late=True) == 5
    assert revision_of(empty(STORED_COUNTS), late=False) == 0
    assert revision_of(stored(False, 3, 0), late=False) == 0


def test_a_count_that_is_full_stays_full() -> None:
    """It tells no longer what the candle held."""
    assert revision_of(stored(True, 70_000, MAX_REVISION), late=True) == MAX_REVISION
