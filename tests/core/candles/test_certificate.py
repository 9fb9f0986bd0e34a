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
from tests.core.candles.test_combine import DAY, table
from tests.support.oracle import Fill

SECOND = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Window = tuple[int, str, int]
"""timeframe, symbol, window_start in microseconds since 1970."""


def windows(some: Sequence[Window], unnumbered: Sequence[int] = ()) -> pl.DataFrame:
    """Candles of these windows, as far as certificates need them."""
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
        for place, (timeframe, symbol, start) in enumerate(some)
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
def holes(draw: st.DrawFn) -> list[tuple[str, int, int, int, int]]:
    """Holes between numbers, each in its place; the times of their ends in any order."""
    found = []
    for symbol in SYMBOLS:
        number = draw(st.sampled_from([0, 2**63, 2**64 - 400]))
        for _ in range(draw(st.integers(0, 5))):
            first = number + draw(st.integers(1, 9))
            last = first + draw(st.integers(0, 20))
            times = sorted([draw(TIMES), draw(TIMES)])
            found.append((symbol, first, last, times[0], times[1]))
            number = last + 1
    return found


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
    """How many microseconds of a window lie in some of these times, by their edges."""
    edges = sorted({begin, end, *(t for other in others for t in other)})
    return sum(
        b - a
        for a, b in itertools.pairwise(edges)
        if begin <= a < end and any(c <= a < d for c, d in others)
    )


@given(
    WINDOWS,
    holes(),
    st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 3), TIMES), max_size=2,
             unique_by=lambda b: b[0]),
    st.lists(SPAN, max_size=4),
    st.lists(st.integers(0, 11), max_size=4),
    st.lists(st.integers(0, 11), max_size=3),
    TIMES,
)  # fmt: skip
def test_a_certificate_says_what_is_known(
    some: list[Window],
    missing: list[tuple[str, int, int, int, int]],
    begins: list[tuple[str, int, int]],
    down: list[list[int]],
    unnumbered: list[int],
    ended: list[int],
    watermark: int,
) -> None:
    """In all timeframes, of holes, begins, ends and outages anywhere."""
    candles = windows(some, unnumbered)
    cut = candles[[n for n in ended if n < candles.height]].unique()
    evidence = CertificateInputs(
        GapState(
            pl.DataFrame(missing, MISSING_RANGES, orient="row"),
            pl.DataFrame(begins, FIRST_SEEN, orient="row"),
        ),
        merge_overlapping(pl.DataFrame(down, OUTAGES, orient="row")),
        cut.select(pl.col(name).cast(kind) for name, kind in FEED_ENDS.items()),
    )
    closed = pl.col("window_end") <= watermark
    found = candles.select(certificate_columns(candles, closed, evidence)).rows()
    expected = []
    for place, ((_, symbol, start), end) in enumerate(
        zip(some, candles["window_end"], strict=True)
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
    assert found == expected


@given(WINDOWS, st.lists(st.tuples(st.sampled_from([*SYMBOLS, None]), SPAN), max_size=5))
def test_spans_touch_the_windows_that_lie_in_them(
    some: list[Window], spans: list[tuple[str | None, list[int]]]
) -> None:
    """Both ends of a span are in it, the end of a window is not."""
    candles = windows(some)
    frame = pl.DataFrame([(s, *times) for s, times in spans], TIME_RANGES, orient="row")
    assert overlaps(candles, frame).to_list() == [
        any(s in (symbol, None) and b < end and a >= start for s, (b, a) in spans)
        for (_, symbol, start), end in zip(some, candles["window_end"], strict=True)
    ]


MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    ("number", "time", "expected"),
    [
        (1, 0, COMPLETE), (2, -1, COMPLETE), (2, 0, PARTIAL), (2, MINUTE - 1, PARTIAL),
        (2, MINUTE, COMPLETE), (3, 0, PARTIAL),
    ],
)  # fmt: skip
def test_window_in_which_a_feed_began_is_partial(number: int, time: int, expected: int) -> None:
    """From its first moment to its last one, unless the feed began with trade 1."""
    known = GapState(
        first_seen=pl.DataFrame([("A/B", number, DAY + time)], FIRST_SEEN, orient="row")
    )
    minute = windows([(1, "A/B", DAY)])
    status = minute.select(certificate_columns(minute, pl.lit(True), CertificateInputs(known)))[
        "status"
    ]
    assert status.to_list() == [expected]
    spans = incomplete_time_ranges(known).rows()
    assert spans == ([] if number == 1 else [("A/B", DAY + time, DAY + time)])


@pytest.mark.parametrize("symbol", ["A/B", None], ids=["of its symbol", "of all"])
@pytest.mark.parametrize(
    ("time", "expected"), [(-1, False), (0, True), (MINUTE - 1, True), (MINUTE, False)]
)
def test_span_of_one_moment_touches_the_window_that_holds_it(
    symbol: str | None, time: int, expected: bool
) -> None:
    """A market's, and one of all markets of an exchange."""
    span = pl.DataFrame([(symbol, DAY + time, DAY + time)], TIME_RANGES, orient="row")
    assert overlaps(windows([(1, "A/B", DAY)]), span).to_list() == [expected]


@pytest.mark.parametrize(("before", "expected"), [(MINUTE - 1, 3), (MINUTE, 0)])
def test_gaps_that_begin_where_a_window_ends_are_not_of_it(before: int, expected: int) -> None:
    """Also several of the same moment, and beside those of another symbol."""
    holes = [
        (symbol, 10 * n, 10 * n, DAY + before, DAY + before + after)
        for symbol in SYMBOLS
        for n, after in enumerate((0, 0, 7), 1)
    ]
    known = GapState(pl.DataFrame(holes, MISSING_RANGES, orient="row"))
    found = missing_counts(windows([(1, symbol, DAY) for symbol in (*SYMBOLS, "E/F")]), known)
    assert found.to_list() == [expected, expected, 0]
    late = missing_counts(windows([(1, symbol, DAY + 10 * MINUTE) for symbol in SYMBOLS]), known)
    assert late.to_list() == [0, 0]


@pytest.mark.parametrize(("second", "expected"), [(59, False), (60, True)])
def test_only_a_later_trade_tells_what_ended(second: int, expected: bool) -> None:
    """One of the same symbol, behind the end of the window."""
    ended = windows([(1, "A/B", DAY), (1, "C/D", DAY)]).select(
        pl.col(name).cast(kind) for name, kind in FEED_ENDS.items()
    )
    later: Any = Fill("x", "A/B", "1", 1, DAY + second * SECOND, True, 1, 1)  # type: ignore[arg-type]
    assert has_later_trade(ended, table([later])).to_list() == [expected, False]


def test_many_holes_are_counted_at_once() -> None:
    """Each window's own, of forty thousand."""
    many = [("A/B", 10 * n, 10 * n + n % 7, DAY + n * SECOND, DAY + n * SECOND + 5)
            for n in range(40_000)]  # fmt: skip
    candles = windows([(1, "A/B", DAY + 60 * SECOND * n) for n in range(600)])
    found = missing_counts(candles, GapState(pl.DataFrame(many, MISSING_RANGES, orient="row")))
    assert found.to_list() == [
        sum(n % 7 + 1 for n in range(60 * minute, 60 * minute + 60)) for minute in range(600)
    ]


def test_names_are_what_candles_are_called() -> None:
    """The columns that tell one candle of an exchange from another."""
    assert set(CANDLE_KEY) < set(FEED_ENDS) < set(STATE)
