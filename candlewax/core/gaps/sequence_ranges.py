"""Which numbers of a symbol have been seen, as ranges, and the holes between them."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl


class MissingRange(NamedTuple):
    """Numbers not seen, from `first` to `last`, between two that were; `before` and
    `after` are the times of those two, the earlier one first.
    """

    first: int
    last: int
    before: int
    after: int


class SequenceRun(NamedTuple):
    """Consecutive numbers, and the times of the trades at its ends."""

    first: int
    last: int
    begin: int
    end: int


@dataclass
class SequenceRanges:
    """A set of numbers as closed ranges, in order, none touching the next.

    `begin` and `end` hold the times of the trades at the ends of each range, in
    microseconds since 1970.
    """

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    begin: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)

    def add(self, run: SequenceRun) -> None:
        """Put in numbers. Those that are there already keep their times."""
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
        """Return whether a number that is not in the set follows on one that is."""
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
        """Return between which times the trade of a number happened, as far as the ends of its
        range tell: at one and the same if it is one of them. None if it is not in the set.
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
        """Return the highest number of the set below another one, and the lowest above it."""
        low, high = bisect_left(self.first, number), bisect_right(self.last, number)
        below = min(self.last[low - 1], number - 1) if low else None
        above = max(self.first[high], number + 1) if high < len(self.first) else None
        return below, above

    def holes(self, first: int, last: int) -> list[MissingRange]:
        """The holes that lie at least partly between two numbers, both inclusive."""
        low = max(0, bisect_right(self.first, first) - 1)
        high = min(len(self.first) - 1, bisect_left(self.last, last))
        return [self._hole(place) for place in range(low, high)]

    def all_holes(self) -> list[MissingRange]:
        """All holes there are, in order."""
        return [self._hole(place) for place in range(len(self.first) - 1)]

    def _hole(self, place: int) -> MissingRange:
        """The hole behind a range."""
        times = self.end[place], self.begin[place + 1]
        return MissingRange(self.last[place] + 1, self.first[place + 1] - 1, min(times), max(times))

    def is_within(self, first: int, last: int) -> bool:
        """Whether these lie between the lowest and the highest number there is."""
        return bool(self.first) and self.first[0] <= first and last <= self.last[-1]

    def count_missing(self, first: int, last: int) -> int:
        """How many of the numbers from `first` to `last` are not in the set."""
        low, high = bisect_left(self.last, first), bisect_right(self.first, last)
        inside = zip(self.first[low:high], self.last[low:high], strict=True)
        return last - first + 1 - sum(min(b, last) - max(a, first) + 1 for a, b in inside)

    def contains(self, numbers: pl.Series) -> pl.Series:
        """Which of the numbers (UInt64) are in the set (Boolean)."""
        if not self.first:
            return pl.Series(dtype=pl.Boolean, values=[False]).new_from_index(0, numbers.len())
        low, high = (
            bisect_left(self.last, _least(numbers)),
            bisect_right(self.first, _most(numbers)),
        )
        if low >= high:
            return pl.Series(dtype=pl.Boolean, values=[False]).new_from_index(0, numbers.len())
        first = pl.Series(self.first[low:high], dtype=pl.UInt64)
        last = pl.Series(self.last[low:high], dtype=pl.UInt64)
        place = first.search_sorted(numbers, side="right").cast(pl.Int64) - 1
        return (place >= 0) & (numbers <= last.gather(place.clip(0)))

    def copy(self) -> "SequenceRanges":
        """A copy that later changes do not reach."""
        return SequenceRanges(self.first[:], self.last[:], self.begin[:], self.end[:])


def _least(numbers: pl.Series) -> int:
    return int(numbers.min())  # type: ignore[arg-type]


def _most(numbers: pl.Series) -> int:
    return int(numbers.max())  # type: ignore[arg-type]


@dataclass
class RangeChange:
    """How a symbol's holes are no longer what they were: those that are `gone` and
    those that are `new`. `begins` are the times of its lowest number before and after,
    if that is another one now.

    A hole that is narrower, or split, is gone and others are new.
    """

    gone: set[MissingRange] = field(default_factory=set)
    new: set[MissingRange] = field(default_factory=set)
    begins: set[int] = field(default_factory=set)

    def add(self, ranges: SequenceRanges, run: SequenceRun) -> None:
        """Put numbers into ranges, and remember what that changes."""
        begin = (ranges.first[0], ranges.begin[0]) if ranges.first else None
        around = run.first - 1, run.last + 1
        for hole in ranges.holes(*around):
            _toggle(hole, self.new, self.gone)
        ranges.add(run)
        for hole in ranges.holes(*around):
            _toggle(hole, self.gone, self.new)
        if begin is None or ranges.first[0] != begin[0]:
            self.begins |= {ranges.begin[0]} | ({begin[1]} if begin else set())

    def __bool__(self) -> bool:
        return bool(self.gone or self.new or self.begins)


def _toggle(hole: MissingRange, out_of: set[MissingRange], into: set[MissingRange]) -> None:
    if hole in out_of:
        out_of.remove(hole)
    else:
        into.add(hole)


def runs(numbers: pl.Series, times: pl.Series) -> list[SequenceRun]:
    """The runs of consecutive numbers in sorted distinct numbers (UInt64) with their
    times (Int64).
    """
    if numbers.is_empty():
        return []
    frame = pl.DataFrame({"n": numbers, "t": times}).with_columns(
        # Not diff(): it has no sign to spare for numbers above 2^63.
        run=(pl.col("n") - pl.col("n").shift(1) != 1).fill_null(False).cum_sum()
    )
    found = frame.group_by("run", maintain_order=True).agg(
        first=pl.col("n").first(),
        last=pl.col("n").last(),
        begin=pl.col("t").first(),
        end=pl.col("t").last(),
    )
    return [SequenceRun(*row) for row in found.drop("run").iter_rows()]
