"""Candles as rows of their tables: closed or not, and why they are written."""

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
from tests.core.candles.test_combine import DAY, fill, table

SECOND = 1_000_000
END = DAY + 60 * SECOND


def minute() -> pl.DataFrame:
    """The candle of a minute of two trades."""
    found = candles.combine(table([fill(5), fill(6, sequence=2)]))
    assert found.select("timeframe", "window_end").rows() == [(1, END)]
    return found


def gap_state_missing(missing: int, *, begins: bool = False) -> GapState:
    """What is known where so many numbers of the minute are missing, and whether its feed
    began in it, not with trade 1.
    """
    holes = [("A/B", 10, 9 + missing, DAY, DAY + SECOND)] if missing else []
    return GapState(
        pl.DataFrame(holes, MISSING_RANGES, orient="row"),
        pl.DataFrame([("A/B", 5, DAY)] if begins else [], FIRST_SEEN, orient="row"),
    )


def down(milliseconds: int) -> pl.DataFrame:
    """OUTAGES: one within the minute, of so many milliseconds."""
    return pl.DataFrame([(DAY, DAY + 1000 * milliseconds)], OUTAGES, orient="row")


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [(END - 1, (False, FORMING, 4)), (END, (True, COMPLETE, 5)), (END + 1, (True, COMPLETE, 5))],
    ids=["before", "at its end", "after"],
)
def test_row_is_closed_when_the_watermark_has_reached_the_end_of_its_window(
    watermark: int, expected: tuple[bool, int, int]
) -> None:
    """Its certificate says so, and its version is higher by one; alone or beside another one."""
    alone = candle_rows("x", minute(), watermark, CertificateInputs())
    assert alone.select("closed", "status", "version").rows() == [expected]
    early = candles.combine(table([fill(-60)]))
    both = candle_rows("x", early.vstack(minute()), watermark, CertificateInputs())
    assert both.select("closed", "status", "version").rows() == [(True, COMPLETE, 3), expected]


CHANGES = [
    (2, 1, 0, REPAIRED),
    (2, 0, 0, REPAIRED),
    (2, 3, 0, LATE),
    (0, 1, 0, LATE),
    (2, 2, 7, LATE),
    (0, 0, 7, LATE),
]
"""How many numbers were missing before and are now, the milliseconds of an outage that became
known with it, and the cause of the row that says so.
"""


@pytest.mark.parametrize(("before", "now", "outage", "cause"), CHANGES)
def test_stored_row_is_repaired_only_where_less_is_missing(
    before: int, now: int, outage: int, cause: int
) -> None:
    """Any other change of its certificate is news that came late; none is no row."""
    stored = candle_rows("x", minute(), END, CertificateInputs(gap_state_missing(before)))
    stored = stored.drop("cause").with_columns(window_end=pl.lit(END))
    outages = down(outage) if outage else empty(OUTAGES)
    found = recertified_rows(stored, CertificateInputs(gap_state_missing(now), outages))
    status = GAPS if now else COMPLETE
    assert found.select("missing", "status", "feed_down_ms", "cause").rows() == [
        (now, status, outage, cause)
    ]
    assert recertified_rows(stored, CertificateInputs(gap_state_missing(before))).is_empty()


@pytest.mark.parametrize("begins", [False, True], ids=["to complete", "to partial"])
def test_stored_row_of_another_status_alone_keeps_the_cause_that_is_given(begins: bool) -> None:
    """As nothing that had been missing has come."""
    stored = candle_rows(
        "x", minute(), END, CertificateInputs(gap_state_missing(0, begins=not begins))
    )
    stored = stored.drop("cause").with_columns(window_end=pl.lit(END))
    found = recertified_rows(
        stored, CertificateInputs(gap_state_missing(0, begins=begins)), RECOMPUTED
    )
    assert found.select("missing", "status", "cause").rows() == [
        (0, PARTIAL if begins else COMPLETE, RECOMPUTED)
    ]


@pytest.mark.parametrize(("before", "now", "outage", "cause"), CHANGES)
def test_candle_in_memory_is_repaired_only_where_less_is_missing(
    before: int, now: int, outage: int, cause: int
) -> None:
    """The same of candles that no trade of the batch changed."""
    book = OpenCandles(minute(), END, down(outage) if outage else empty(OUTAGES))
    nothing = EMPTY.candles
    update = CandleUpdate(book, nothing, nothing, minute(), gap_state_missing(now).changed_ranges)
    rows = changed_rows("x", update, gap_state_missing(now), gap_state_missing(before))
    assert rows.select("missing", "feed_down_ms", "cause").rows() == [(now, outage, cause)]


def test_candle_in_memory_is_recomputed_where_nothing_was_known_before() -> None:
    """A process that has just begun cannot tell what had been missing."""
    book = books.OpenCandles(minute(), END)
    nothing = EMPTY.candles
    update = CandleUpdate(book, nothing, nothing, minute(), gap_state_missing(1).changed_ranges)
    rows = changed_rows("x", update, gap_state_missing(1), None)
    assert rows.select("missing", "status", "cause").rows() == [(1, GAPS, RECOMPUTED)]
    assert changed_rows("x", update, NO_GAPS, NO_GAPS)["cause"].to_list() == [LATE]
