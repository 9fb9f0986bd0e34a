"""Ranges of numbers against a plain set."""

import itertools

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.sequence_ranges import MissingRange, SequenceRanges, SequenceRun, find_runs

TIME_RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=25)


def when(number: int) -> int:
    """The time of a number."""
    return number * 5 % 7


def filled(spans: list[tuple[int, int]]) -> tuple[SequenceRanges, set[int]]:
    ranges, numbers = SequenceRanges(), set[int]()
    for first, length in spans:
        last = first + length
        ranges.add(SequenceRun(first, last, when(first), when(last)))
        numbers |= set(range(first, last + 1))
    return ranges, numbers


@given(TIME_RANGES)
def test_ranges_hold_what_was_put_in_and_stay_apart(spans: list[tuple[int, int]]) -> None:
    """Neighbouring ranges grow together, and know the times of their ends."""
    ranges, numbers = filled(spans)
    held = ranges.contains(pl.Series(range(70), dtype=pl.UInt64))
    assert held.to_list() == [n in numbers for n in range(70)]
    joined = list(zip(ranges.first, ranges.last, strict=True))
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(joined))
    assert ranges.begin == [when(number) for number in ranges.first]
    assert ranges.end == [when(number) for number in ranges.last]


@given(TIME_RANGES, st.integers(0, 70), st.integers(0, 70))
def test_holes_lie_between_two_ranges(spans: list[tuple[int, int]], one: int, two: int) -> None:
    """Those asked for share a number with what is asked for."""
    ranges, numbers = filled(spans)
    expected = [
        MissingRange(low + 1, high - 1, min(when(low), when(high)), max(when(low), when(high)))
        for low, high in itertools.pairwise(sorted(numbers))
        if high - low > 1
    ]
    assert ranges.missing_ranges() == expected
    first, last = sorted((one, two))
    around = [hole for hole in expected if hole.first <= last and hole.last >= first]
    assert ranges.missing_between(first, last) == around
    assert ranges.count_missing(first, last) == len(set(range(first, last + 1)) - numbers)


def test_the_first_to_bring_a_number_says_when_it_was() -> None:
    """A repeat changes nothing."""
    ranges = SequenceRanges()
    ranges.add(SequenceRun(5, 7, 50, 70))
    ranges.add(SequenceRun(5, 7, 1, 1))
    ranges.add(SequenceRun(6, 8, 1, 80))
    assert (ranges.begin, ranges.end) == ([50], [80])


@given(st.sets(st.one_of(st.integers(1, 20), st.integers(2**63 - 3, 2**63 + 3))))
def test_runs_are_of_consecutive_numbers(numbers: set[int]) -> None:
    """With the times at their ends, also beyond what a signed number holds."""
    ordered = sorted(numbers)
    times = [when(number) for number in ordered]
    found = find_runs(pl.Series(ordered, dtype=pl.UInt64), pl.Series(times, dtype=pl.Int64))
    assert [n for run in found for n in range(run.first, run.last + 1)] == ordered
    assert all(a.last + 1 < b.first for a, b in itertools.pairwise(found))
    assert all((run.begin, run.end) == (when(run.first), when(run.last)) for run in found)
