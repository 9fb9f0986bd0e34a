"""Certificates against an oracle of plain Python."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.candles.certificate import (
    CANDLE_KEY,
    COMPLETE,
    FEED_ENDS,
    FORMING,
    GAPS,
    PARTIAL,
    UNVERIFIED,
    CertificateInputs,
    certificate_columns,
    has_later_trade,
    incomplete_time_ranges,
    merge_overlapping,
    missing_counts,
    overlaps,
)
from candlewax.core.candles.combine import STATE, TIMEFRAMES
from candlewax.core.gaps.gap_state import FIRST_SEEN, MISSING_RANGES, OUTAGES, TIME_RANGES, GapState
from tests.support.candles import DAY, table
from tests.support.oracle import Fill

SECOND = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Window = tuple[int, str, int]
"""timeframe, symbol, window_start in microseconds since 1970."""


def windows(candle_windows: Sequence[Window], unnumbered: Sequence[int] = ()) -> pl.DataFrame:
    """Candles of these windows, with the columns that certificates read."""
    lengths = {number: length for number, length in TIMEFRAMES.values()}  # noqa: C416
    rows = [
        {
            **dict.fromkeys(STATE),
            "timeframe": timeframe,
            "symbol": symbol,
            "window_start": EPOCH + timedelta(microseconds=start),
            "window_end": start + lengths[timeframe],
            "unnumbered": place in unnumbered,
        }
        for place, (timeframe, symbol, start) in enumerate(candle_windows)
    ]
    return pl.DataFrame(rows, schema=STATE)


SYMBOLS = ("A/B", "C/D")
TIMES = st.one_of(
    st.integers(DAY - 5, DAY + 5),
    st.integers(-90, 90).map(lambda n: DAY + n * SECOND),
    st.integers(DAY - 7_200_000_000, DAY + 7_200_000_000),
    st.integers(-2, 2).map(lambda n: DAY + n * 86_400 * SECOND),
)


@st.composite
def missing_ranges(draw: st.DrawFn) -> list[tuple[str, int, int, int, int]]:
    """Missing ranges in ascending order of numbers; the times of their ends are in any order."""
    ranges = []
    for symbol in SYMBOLS:
        number = draw(st.sampled_from([0, 2**63, 2**64 - 400]))
        for _ in range(draw(st.integers(0, 5))):
            first = number + draw(st.integers(1, 9))
            last = first + draw(st.integers(0, 20))
            times = sorted([draw(TIMES), draw(TIMES)])
            ranges.append((symbol, first, last, times[0], times[1]))
            number = last + 1
    return ranges


WINDOWS = st.lists(
    st.builds(
        lambda pair, symbol, time: (pair[0], symbol, time // pair[1] * pair[1]),
        st.sampled_from(list(TIMEFRAMES.values())),
        st.sampled_from(SYMBOLS),
        TIMES,
    ),
    max_size=12,
    unique=True,
)
SPAN = st.tuples(TIMES, TIMES).map(sorted)


def overlap(begin: int, end: int, others: list[list[int]]) -> int:
    """Microseconds of a window that lie in any of the given times."""
    edges = sorted({begin, end, *(t for other in others for t in other)})
    return sum(
        b - a
        for a, b in itertools.pairwise(edges)
        if begin <= a < end and any(c <= a < d for c, d in others)
    )


@given(
    WINDOWS,
    missing_ranges(),
    st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 3), TIMES), max_size=2,
             unique_by=lambda b: b[0]),
    st.lists(SPAN, max_size=4),
    st.lists(st.integers(0, 11), max_size=4),
    st.lists(st.integers(0, 11), max_size=3),
    TIMES,
)  # fmt: skip
def test_certificate_matches_oracle(
    candle_windows: list[Window],
    missing: list[tuple[str, int, int, int, int]],
    begins: list[tuple[str, int, int]],
    down: list[list[int]],
    unnumbered: list[int],
    ended: list[int],
    watermark: int,
) -> None:
    """For any missing ranges, feed starts, feed ends and outages, in all timeframes."""
    candles = windows(candle_windows, unnumbered)
    cut = candles[[n for n in ended if n < candles.height]].unique()
    inputs = CertificateInputs(
        GapState(
            pl.DataFrame(missing, MISSING_RANGES, orient="row"),
            pl.DataFrame(begins, FIRST_SEEN, orient="row"),
        ),
        merge_overlapping(pl.DataFrame(down, OUTAGES, orient="row")),
        cut.select(pl.col(name).cast(kind) for name, kind in FEED_ENDS.items()),
    )
    closed = pl.col("window_end") <= watermark
    certificates = candles.select(certificate_columns(candles, closed, inputs)).rows()
    expected = []
    for place, ((_, symbol, start), end) in enumerate(
        zip(candle_windows, candles["window_end"], strict=True)
    ):
        count = sum(
            last - first + 1
            for name, first, last, before, after in missing
            if name == symbol and before < end and after >= start
        )
        began = any(s == symbol and n > 1 and start <= at < end for s, n, at in begins)
        if end > watermark:
            status = FORMING
        elif place in unnumbered:
            status = UNVERIFIED
        elif count:
            status = GAPS
        else:
            status = PARTIAL if began or place in ended else COMPLETE
        expected.append((count, status, overlap(start, end, down) // 1000))
    assert certificates == expected


@given(WINDOWS, st.lists(st.tuples(st.sampled_from([*SYMBOLS, None]), SPAN), max_size=5))
def test_time_range_overlaps_windows_that_share_a_microsecond(
    candle_windows: list[Window], spans: list[tuple[str | None, list[int]]]
) -> None:
    """A range includes both of its ends, a window excludes its end."""
    candles = windows(candle_windows)
    frame = pl.DataFrame([(s, *times) for s, times in spans], TIME_RANGES, orient="row")
    assert overlaps(candles, frame).to_list() == [
        any(s in (symbol, None) and b < end and a >= start for s, (b, a) in spans)
        for (_, symbol, start), end in zip(candle_windows, candles["window_end"], strict=True)
    ]


MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    ("number", "time", "expected"),
    [
        (1, 0, COMPLETE), (2, -1, COMPLETE), (2, 0, PARTIAL), (2, MINUTE - 1, PARTIAL),
        (2, MINUTE, COMPLETE), (3, 0, PARTIAL),
    ],
)  # fmt: skip
def test_window_is_partial_when_its_feed_began_in_it(number: int, time: int, expected: int) -> None:
    """From the first microsecond of the window to the last one, unless the feed began with
    trade 1.
    """
    gap_state = GapState(
        first_seen=pl.DataFrame([("A/B", number, DAY + time)], FIRST_SEEN, orient="row")
    )
    minute = windows([(1, "A/B", DAY)])
    status = minute.select(certificate_columns(minute, pl.lit(True), CertificateInputs(gap_state)))[
        "status"
    ]
    assert status.to_list() == [expected]
    spans = incomplete_time_ranges(gap_state).rows()
    assert spans == ([] if number == 1 else [("A/B", DAY + time, DAY + time)])


@pytest.mark.parametrize("symbol", ["A/B", None], ids=["of its symbol", "of all"])
@pytest.mark.parametrize(
    ("time", "expected"), [(-1, False), (0, True), (MINUTE - 1, True), (MINUTE, False)]
)
def test_time_range_of_one_microsecond_overlaps_the_window_around_it(
    symbol: str | None, time: int, expected: bool
) -> None:
    """For a range of one market, and for one of all markets of an exchange."""
    span = pl.DataFrame([(symbol, DAY + time, DAY + time)], TIME_RANGES, orient="row")
    assert overlaps(windows([(1, "A/B", DAY)]), span).to_list() == [expected]


@pytest.mark.parametrize(("before", "expected"), [(MINUTE - 1, 3), (MINUTE, 0)])
def test_missing_range_that_begins_at_the_window_end_is_not_counted(
    before: int, expected: int
) -> None:
    """For several ranges of one time, and beside ranges of another symbol."""
    missing_ranges = [
        (symbol, 10 * n, 10 * n, DAY + before, DAY + before + after)
        for symbol in SYMBOLS
        for n, after in enumerate((0, 0, 7), 1)
    ]
    gap_state = GapState(pl.DataFrame(missing_ranges, MISSING_RANGES, orient="row"))
    counts = missing_counts(windows([(1, symbol, DAY) for symbol in (*SYMBOLS, "E/F")]), gap_state)
    assert counts.to_list() == [expected, expected, 0]
    later_counts = missing_counts(
        windows([(1, symbol, DAY + 10 * MINUTE) for symbol in SYMBOLS]), gap_state
    )
    assert later_counts.to_list() == [0, 0]


@pytest.mark.parametrize(("second", "expected"), [(59, False), (60, True)])
def test_feed_end_is_resolved_by_a_trade_after_the_window(second: int, expected: bool) -> None:
    """The trade must be of the same symbol."""
    feed_ends = windows([(1, "A/B", DAY), (1, "C/D", DAY)]).select(
        pl.col(name).cast(kind) for name, kind in FEED_ENDS.items()
    )
    trade: Any = Fill("x", "A/B", "1", 1, DAY + second * SECOND, True, 1, 1)  # type: ignore[arg-type]
    assert has_later_trade(feed_ends, table([trade])).to_list() == [expected, False]


def test_missing_counts_of_forty_thousand_ranges_match_plain_sums() -> None:
    ranges = [("A/B", 10 * n, 10 * n + n % 7, DAY + n * SECOND, DAY + n * SECOND + 5)
            for n in range(40_000)]  # fmt: skip
    candles = windows([(1, "A/B", DAY + 60 * SECOND * n) for n in range(600)])
    counts = missing_counts(candles, GapState(pl.DataFrame(ranges, MISSING_RANGES, orient="row")))
    assert counts.to_list() == [
        sum(n % 7 + 1 for n in range(60 * minute, 60 * minute + 60)) for minute in range(600)
    ]


def test_candle_key_is_part_of_feed_ends_and_state() -> None:
    assert set(CANDLE_KEY) < set(FEED_ENDS) < set(STATE)
