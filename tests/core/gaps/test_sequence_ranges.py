"""Sequence ranges against a plain set."""

import itertools

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.sequence_ranges import MissingRange, SequenceRanges, SequenceRun, find_runs

TIME_RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=25)


def time_of(number: int) -> int:
    return number * 5 % 7


def ranges_and_numbers(spans: list[tuple[int, int]]) -> tuple[SequenceRanges, set[int]]:
    ranges, numbers = SequenceRanges(), set[int]()
    for first, length in spans:
        last = first + length
        ranges.add(SequenceRun(first, last, time_of(first), time_of(last)))
        numbers |= set(range(first, last + 1))
    return ranges, numbers


@given(TIME_RANGES)
def test_ranges_hold_all_added_numbers_and_stay_apart(spans: list[tuple[int, int]]) -> None:
    """Adjacent ranges are merged and keep the times of their ends."""
    ranges, numbers = ranges_and_numbers(spans)
    held = ranges.contains(pl.Series(range(70), dtype=pl.UInt64))
    assert held.to_list() == [n in numbers for n in range(70)]
    joined = list(zip(ranges.first, ranges.last, strict=True))
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(joined))
    assert ranges.begin == [time_of(number) for number in ranges.first]
    assert ranges.end == [time_of(number) for number in ranges.last]


@given(TIME_RANGES, st.integers(0, 70), st.integers(0, 70))
def test_missing_ranges_lie_between_two_ranges(
    spans: list[tuple[int, int]], one: int, two: int
) -> None:
    """`missing_between` returns those that share a number with the given span."""
    ranges, numbers = ranges_and_numbers(spans)
    expected = [
        MissingRange(
            low + 1, high - 1, min(time_of(low), time_of(high)), max(time_of(low), time_of(high))
        )
        for low, high in itertools.pairwise(sorted(numbers))
        if high - low > 1
    ]
    assert ranges.missing_ranges() == expected
    first, last = sorted((one, two))
    around = [missing for missing in expected if missing.first <= last and missing.last >= first]
    assert ranges.missing_between(first, last) == around
    assert ranges.count_missing(first, last) == len(set(range(first, last + 1)) - numbers)


def test_range_keeps_time_of_first_delivery() -> None:
    """A repeat with another time changes nothing."""
    ranges = SequenceRanges()
    ranges.add(SequenceRun(5, 7, 50, 70))
    ranges.add(SequenceRun(5, 7, 1, 1))
    ranges.add(SequenceRun(6, 8, 1, 80))
    assert (ranges.begin, ranges.end) == ([50], [80])


@given(st.sets(st.one_of(st.integers(1, 20), st.integers(2**63 - 3, 2**63 + 3))))
def test_runs_are_of_consecutive_numbers_with_times_of_their_ends(numbers: set[int]) -> None:
    """Numbers above the signed 64-bit limit are included."""
    ordered = sorted(numbers)
    times = [time_of(number) for number in ordered]
    runs = find_runs(pl.Series(ordered, dtype=pl.UInt64), pl.Series(times, dtype=pl.Int64))
    assert [n for run in runs for n in range(run.first, run.last + 1)] == ordered
    assert all(a.last + 1 < b.first for a, b in itertools.pairwise(runs))
    assert all((run.begin, run.end) == (time_of(run.first), time_of(run.last)) for run in runs)
