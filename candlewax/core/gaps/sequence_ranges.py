"""Received sequence numbers of a symbol as ranges, and the missing ranges between them."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl


class MissingRange(NamedTuple):
    """Numbers from `first` to `last` that were not received, between two that were.

    `before` and `after`: the times of those two trades, the earlier one first.
    """

    first: int
    last: int
    before: int
    after: int


class SequenceRun(NamedTuple):
    """Consecutive numbers, and the times of the trades at both ends."""

    first: int
    last: int
    begin: int
    end: int


@dataclass
class SequenceRanges:
    """A set of numbers as sorted closed ranges that do not touch.

    `begin` and `end`: times of the trades at the ends of each range, in microseconds since 1970.
    """

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    begin: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)

    def add(self, run: SequenceRun) -> None:
        """Add numbers. A number that is in the set keeps its time."""
        first, last, begin, end = run
        low = bisect_left(self.last, first - 1)
        high = bisect_right(self.first, last + 1)
        if low < high:
            if self.first[low] <= first:
                first, begin = self.first[low], self.begin[low]
            if self.last[high - 1] >= last:
                last, end = self.last[high - 1], self.end[high - 1]
        self.first[low:high] = [first]
        self.last[low:high] = [last]
        self.begin[low:high] = [begin]
        self.end[low:high] = [end]

    def follows(self, number: int) -> bool:
        """Return whether the set holds the number before this one, and not this one."""
        place = bisect_left(self.last, number - 1)
        return place < len(self.last) and self.last[place] == number - 1

    def count(self) -> int:
        """Return how many numbers are in the set."""
        return sum(self.last) - sum(self.first) + len(self.first)

    def has(self, number: int) -> bool:
        """Return whether a number is in the set."""
        place = bisect_left(self.last, number)
        return place < len(self.last) and self.first[place] <= number

    def times(self, number: int) -> tuple[int, int] | None:
        """Return the earliest and the latest possible time of the trade with a number.

        Both follow from the ends of its range, and are equal if the number is one of them. Return
        None if the number is not in the set.
        """
        if not self.has(number):
            return None
        place = bisect_left(self.last, number)
        begin, end = self.begin[place], self.end[place]
        if number == self.first[place]:
            end = begin
        elif number == self.last[place]:
            begin = end
        return min(begin, end), max(begin, end)

    def neighbours(self, number: int) -> tuple[int | None, int | None]:
        """Return the highest number of the set below a number, and the lowest above it."""
        low, high = bisect_left(self.first, number), bisect_right(self.last, number)
        below = min(self.last[low - 1], number - 1) if low else None
        above = max(self.first[high], number + 1) if high < len(self.first) else None
        return below, above

    def missing_between(self, first: int, last: int) -> list[MissingRange]:
        """Return the missing ranges that overlap `first` to `last`, both inclusive."""
        low = max(0, bisect_right(self.first, first) - 1)
        high = min(len(self.first) - 1, bisect_left(self.last, last))
        return [self._missing_after(place) for place in range(low, high)]

    def missing_ranges(self) -> list[MissingRange]:
        """Return all missing ranges in order."""
        return [self._missing_after(place) for place in range(len(self.first) - 1)]

    def _missing_after(self, place: int) -> MissingRange:
        """Return the missing range behind a range."""
        times = self.end[place], self.begin[place + 1]
        return MissingRange(self.last[place] + 1, self.first[place + 1] - 1, min(times), max(times))

    def is_within(self, first: int, last: int) -> bool:
        """Return whether `first` to `last` lies between the lowest and the highest number."""
        return bool(self.first) and self.first[0] <= first and last <= self.last[-1]

    def count_missing(self, first: int, last: int) -> int:
        """Count the numbers from `first` to `last` that are not in the set."""
        low, high = bisect_left(self.last, first), bisect_right(self.first, last)
        inside = zip(self.first[low:high], self.last[low:high], strict=True)
        return last - first + 1 - sum(min(b, last) - max(a, first) + 1 for a, b in inside)

    def contains(self, numbers: pl.Series) -> pl.Series:
        """Return which of the numbers (UInt64) are in the set (Boolean)."""
        if not self.first:
            return pl.Series(dtype=pl.Boolean, values=[False]).new_from_index(0, numbers.len())
        low, high = (
            bisect_left(self.last, _minimum(numbers)),
            bisect_right(self.first, _maximum(numbers)),
        )
        if low >= high:
            return pl.Series(dtype=pl.Boolean, values=[False]).new_from_index(0, numbers.len())
        first = pl.Series(self.first[low:high], dtype=pl.UInt64)
        last = pl.Series(self.last[low:high], dtype=pl.UInt64)
        place = first.search_sorted(numbers, side="right").cast(pl.Int64) - 1
        return (place >= 0) & (numbers <= last.gather(place.clip(0)))

    def copy(self) -> "SequenceRanges":
        """Return a copy that later changes do not reach."""
        return SequenceRanges(self.first[:], self.last[:], self.begin[:], self.end[:])


def _minimum(numbers: pl.Series) -> int:
    return int(numbers.min())  # type: ignore[arg-type]


def _maximum(numbers: pl.Series) -> int:
    return int(numbers.max())  # type: ignore[arg-type]


@dataclass
class RangeChange:
    """Change of a symbol's missing ranges: `removed` and `added` ones.

    A range that became narrower, or was split, is removed, and its remainders are added.
    `begin_times`: times of the lowest number before and after, if the lowest number changed.
    """

    removed: set[MissingRange] = field(default_factory=set)
    added: set[MissingRange] = field(default_factory=set)
    begin_times: set[int] = field(default_factory=set)

    def add(self, ranges: SequenceRanges, run: SequenceRun) -> None:
        """Add numbers to ranges, and record the change."""
        begin = (ranges.first[0], ranges.begin[0]) if ranges.first else None
        around = run.first - 1, run.last + 1
        for missing in ranges.missing_between(*around):
            _toggle(missing, self.added, self.removed)
        ranges.add(run)
        for missing in ranges.missing_between(*around):
            _toggle(missing, self.removed, self.added)
        if begin is None or ranges.first[0] != begin[0]:
            self.begin_times |= {ranges.begin[0]} | ({begin[1]} if begin else set())

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.begin_times)


def _toggle(missing: MissingRange, out_of: set[MissingRange], into: set[MissingRange]) -> None:
    if missing in out_of:
        out_of.remove(missing)
    else:
        into.add(missing)


def find_runs(numbers: pl.Series, times: pl.Series) -> list[SequenceRun]:
    """Return the runs of consecutive numbers.

    In: sorted distinct numbers (UInt64) and their times (Int64).
    """
    if numbers.is_empty():
        return []
    frame = pl.DataFrame({"n": numbers, "t": times}).with_columns(
        # diff() would overflow for numbers above 2^63.
        run=(pl.col("n") - pl.col("n").shift(1) != 1).fill_null(False).cum_sum()
    )
    bounds = frame.group_by("run", maintain_order=True).agg(
        first=pl.col("n").first(),
        last=pl.col("n").last(),
        begin=pl.col("t").first(),
        end=pl.col("t").last(),
    )
    return [SequenceRun(*row) for row in bounds.drop("run").iter_rows()]
