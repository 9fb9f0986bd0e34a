"""Revisions of candles, and counts of trades out of order, against an oracle of plain Python."""

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
from tests.support import oracle
from tests.support.candles import DAY, FILLS, cut, fill, table
from tests.support.candles import NAMES as FRAMES
from tests.support.oracle import Fill


def expected(fills: Sequence[Fill]) -> dict[oracle.Window, int]:
    """For each candle, the number of its trades that arrived after it closed."""
    late: dict[oracle.Window, int] = {}
    latest = 0
    for trade in fills:
        for timeframe, length in oracle.LENGTHS.items():
            start = trade.time // 1_000_000 // length * length
            if not trade.conditions:
                window = (timeframe, trade.exchange, trade.symbol, start)
                closed = (start + length) * 1_000_000 <= max(0, latest - WATERMARK_DELAY_US)
                late[window] = late.get(window, 0) + closed
        latest = max(latest, trade.time)
    return late


def revisions(frame: pl.DataFrame) -> dict[oracle.Window, int]:
    """The revision of each candle."""
    return {
        (FRAMES[row["timeframe"]], "x", row["symbol"], int(row["window_start"].timestamp())): row[
            "revision"
        ]
        for row in frame.rows(named=True)
    }


def apply_batches(
    batches: Sequence[Sequence[Fill]], book: OpenCandles = EMPTY
) -> dict[oracle.Window, int]:
    """Apply batches with unlimited lateness; return the latest revision of each candle."""
    latest: dict[oracle.Window, int] = {}
    for batch in batches:
        trades = table(batch)
        update = books.apply_trades(
            book, trades, books.batch_watermark(trades), allowed_lateness_us=10**15
        )
        book = update.open_candles
        latest |= revisions(update.changed)
    return latest


@pytest.mark.parametrize(
    ("seconds", "latest", "count"),
    [
        ([], 9, 0), ([5, 5, 6], 0, 0), ([5, 5, 6], 5, 0), ([5, 5, 6], 6, 2), ([5, 6, 6, 5], 0, 1),
        ([6, 5, 5, 6, 7], 0, 2), ([6, 5, 5, 6, 7], 7, 4),
    ],
)  # fmt: skip
def test_trade_is_out_of_order_when_it_is_older_than_an_earlier_one(
    seconds: list[int], latest: int, count: int
) -> None:
    """Trades of equal time are in order. `latest` is the latest second of the batches before."""
    trades = table([fill(second, sequence=n + 1) for n, second in enumerate(seconds)])
    assert count_out_of_order(trades, DAY + latest * 1_000_000) == count


@given(FILLS, st.lists(st.integers(0, 40), max_size=6))
def test_revisions_match_oracle_for_any_cut_into_batches(
    fills: list[Fill], places: list[int]
) -> None:
    assert apply_batches(cut(fills, places)) == expected(fills)


@given(FILLS, st.lists(st.integers(0, 40), max_size=4), st.integers(0, 5))
def test_revisions_restored_from_stored_rows_continue(
    fills: list[Fill], places: list[int], stop: int
) -> None:
    """A new process counts on from the rows that another one stored."""
    batches = cut(fills, places)
    before = [each for batch in batches[:stop] for each in batch]
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
    restored_candles = books.restore(minutes, book.watermark, allowed_lateness_us=10**15)
    restored = restore_revisions(restored_candles.candles, stored, empty(WINDOW_KEY))
    whole = expected(fills)
    restored_revisions = revisions(restored)
    assert restored_revisions == expected(before)
    assert (
        restored_revisions | apply_batches(batches[stop:], OpenCandles(restored, book.watermark))
        == whole
    )


def stored(closed: bool, trades: int, revision: int) -> pl.DataFrame:
    """A stored row of a one-minute candle."""
    name = (1, "A/B", DAY * 1)
    return pl.DataFrame([(*name, closed, trades, revision)], STORED_COUNTS, orient="row")


def revision_of(rows: pl.DataFrame, *, late: bool, trades: int = 5) -> int:
    """Return the restored revision of a one-minute candle of so many trades."""
    minute = all_timeframes(combine(table([fill(n, sequence=n + 1) for n in range(trades)])))
    minute = minute.filter(pl.col("timeframe") == 1)
    names = minute.select(pl.col(n).cast(k) for n, k in CANDLE_KEY.items())
    return int(restore_revisions(minute, rows, names if late else names.clear())["revision"].item())


def test_revision_counts_trades_since_the_stored_closed_row() -> None:
    """A row that is written again has the same revision."""
    assert revision_of(stored(True, 3, 1), late=True) == 3
    assert revision_of(stored(True, 5, 3), late=True) == 3
    assert revision_of(stored(True, 5, 3), late=False) == 3


def test_revision_counts_all_trades_when_no_closed_row_is_stored() -> None:
    """Only if late trades arrive now; otherwise the revision is unknown and stays 0."""
    assert revision_of(empty(STORED_COUNTS), late=True) == 5
    assert revision_of(empty(STORED_COUNTS), late=False) == 0
    assert revision_of(stored(False, 3, 0), late=False) == 0


def test_revision_stays_at_its_maximum() -> None:
    """At the maximum, it no longer tells how many trades the candle had when it closed."""
    assert revision_of(stored(True, 70_000, MAX_REVISION), late=True) == MAX_REVISION
