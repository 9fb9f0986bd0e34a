"""Rows of candles: closed or not, and their cause."""

import polars as pl
import pytest

from candlewax.core.candles import combine as candles
from candlewax.core.candles import open_candles as books
from candlewax.core.candles.certificate import (
    COMPLETE,
    FORMING,
    GAPS,
    PARTIAL,
    CertificateInputs,
)
from candlewax.core.candles.open_candles import EMPTY, CandleUpdate, OpenCandles
from candlewax.core.candles.rows import (
    LATE,
    RECOMPUTED,
    REPAIRED,
    candle_rows,
    changed_rows,
    recertified_rows,
)
from candlewax.core.gaps.gap_state import FIRST_SEEN, MISSING_RANGES, NO_GAPS, OUTAGES, GapState
from candlewax.core.schema import empty
from tests.support.candles import DAY, fill, table

SECOND = 1_000_000
END = DAY + 60 * SECOND


def minute() -> pl.DataFrame:
    """A one-minute candle of two trades."""
    candle = candles.combine(table([fill(5), fill(6, sequence=2)]))
    assert candle.select("timeframe", "window_end").rows() == [(1, END)]
    return candle


def gap_state_missing(missing: int, *, begins: bool = False) -> GapState:
    """Gap state with so many numbers missing in the minute. If `begins`, its feed began there, not
    with trade 1.
    """
    ranges = [("A/B", 10, 9 + missing, DAY, DAY + SECOND)] if missing else []
    return GapState(
        pl.DataFrame(ranges, MISSING_RANGES, orient="row"),
        pl.DataFrame([("A/B", 5, DAY)] if begins else [], FIRST_SEEN, orient="row"),
    )


def down(milliseconds: int) -> pl.DataFrame:
    """OUTAGES: one outage of so many milliseconds within the minute."""
    return pl.DataFrame([(DAY, DAY + 1000 * milliseconds)], OUTAGES, orient="row")


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [(END - 1, (False, FORMING, 4)), (END, (True, COMPLETE, 5)), (END + 1, (True, COMPLETE, 5))],
    ids=["before", "at its end", "after"],
)
def test_row_is_closed_when_the_watermark_reaches_the_window_end(
    watermark: int, expected: tuple[bool, int, int]
) -> None:
    """Its status follows and its version rises by one, alone and beside another candle."""
    alone = candle_rows("x", minute(), watermark, CertificateInputs())
    assert alone.select("closed", "status", "version").rows() == [expected]
    earlier = candles.combine(table([fill(-60)]))
    both = candle_rows("x", earlier.vstack(minute()), watermark, CertificateInputs())
    assert both.select("closed", "status", "version").rows() == [(True, COMPLETE, 3), expected]


CHANGES = [
    (2, 1, 0, REPAIRED),
    (2, 0, 0, REPAIRED),
    (2, 3, 0, LATE),
    (0, 1, 0, LATE),
    (2, 2, 7, LATE),
    (0, 0, 7, LATE),
]
"""Numbers missing before and now, milliseconds of a new outage, and the cause of the row."""


@pytest.mark.parametrize(("before", "now", "outage", "cause"), CHANGES)
def test_stored_row_is_repaired_only_when_fewer_numbers_are_missing(
    before: int, now: int, outage: int, cause: int
) -> None:
    """Any other change of its certificate has the cause late; without a change, there is no row."""
    stored = candle_rows("x", minute(), END, CertificateInputs(gap_state_missing(before)))
    stored = stored.drop("cause").with_columns(window_end=pl.lit(END))
    outages = down(outage) if outage else empty(OUTAGES)
    recertified = recertified_rows(stored, CertificateInputs(gap_state_missing(now), outages))
    status = GAPS if now else COMPLETE
    assert recertified.select("missing", "status", "feed_down_ms", "cause").rows() == [
        (now, status, outage, cause)
    ]
    assert recertified_rows(stored, CertificateInputs(gap_state_missing(before))).is_empty()


@pytest.mark.parametrize("begins", [False, True], ids=["to complete", "to partial"])
def test_stored_row_with_changed_status_has_the_given_cause(begins: bool) -> None:
    """No missing trade has arrived, so the cause is not repaired."""
    stored = candle_rows(
        "x", minute(), END, CertificateInputs(gap_state_missing(0, begins=not begins))
    )
    stored = stored.drop("cause").with_columns(window_end=pl.lit(END))
    recertified = recertified_rows(
        stored, CertificateInputs(gap_state_missing(0, begins=begins)), RECOMPUTED
    )
    assert recertified.select("missing", "status", "cause").rows() == [
        (0, PARTIAL if begins else COMPLETE, RECOMPUTED)
    ]


@pytest.mark.parametrize(("before", "now", "outage", "cause"), CHANGES)
def test_open_candle_is_repaired_only_when_fewer_numbers_are_missing(
    before: int, now: int, outage: int, cause: int
) -> None:
    """For candles without a trade in the batch."""
    book = OpenCandles(minute(), END, down(outage) if outage else empty(OUTAGES))
    no_candles = EMPTY.candles
    update = CandleUpdate(
        book, no_candles, no_candles, minute(), gap_state_missing(now).changed_ranges
    )
    rows = changed_rows("x", update, gap_state_missing(now), gap_state_missing(before))
    assert rows.select("missing", "feed_down_ms", "cause").rows() == [(now, outage, cause)]


def test_open_candle_is_recomputed_when_no_earlier_gap_state_exists() -> None:
    """A process that has just started cannot tell which numbers were missing."""
    book = books.OpenCandles(minute(), END)
    no_candles = EMPTY.candles
    update = CandleUpdate(
        book, no_candles, no_candles, minute(), gap_state_missing(1).changed_ranges
    )
    rows = changed_rows("x", update, gap_state_missing(1), None)
    assert rows.select("missing", "status", "cause").rows() == [(1, GAPS, RECOMPUTED)]
    assert changed_rows("x", update, NO_GAPS, NO_GAPS)["cause"].to_list() == [LATE]
