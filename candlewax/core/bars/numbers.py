"""Numbers of the trades of a day up to a time, as far as certificates of bars follow from them."""

from typing import Final, NamedTuple, Self

import msgspec
import polars as pl

from candlewax.core.gaps.sequence_ranges import SequenceRanges, SequenceRun

NEVER: Final = 2**62
"""A time after all others, in microseconds since 1970."""


class Gap(NamedTuple):
    """Numbers missing between two trades: the earlier one of their times, and how many."""

    begin: int
    missing: int


class NumberState(msgspec.Struct, frozen=True):
    """State of `Numbers`, to be stored.

    `runs`: numbering, first and last number of each run of numbers, and the times of both.
    `spans`: numbering, time of its first and of its last trade.
    """

    runs: list[tuple[int, int, int, int, int]] = []
    spans: list[tuple[int, int, int]] = []
    last: int | None = None
    unnumbered_from: int = NEVER


class Numbers:
    """Numbers of the trades of a day, added in order of time.

    Its size grows with the missing ranges of the day, not with its trades. Times are in
    microseconds since 1970. `last` is the number of the last numbered trade, `unnumbered_from` the
    time of the first trade without a number that counts.
    """

    def __init__(self, state: NumberState | None = None) -> None:
        state = state or NumberState()
        self.last = state.last
        self.unnumbered_from = state.unnumbered_from
        self._spans = {numbering: (begin, end) for numbering, begin, end in state.spans}
        self._ranges: dict[int, SequenceRanges] = {}
        for numbering, *run in state.runs:
            self._ranges.setdefault(numbering, SequenceRanges()).add(SequenceRun(*run))

    def state(self) -> NumberState:
        """Return the state, from which `Numbers` goes on."""
        runs = [
            (numbering, *run)
            for numbering, ranges in self._ranges.items()
            for run in zip(ranges.first, ranges.last, ranges.begin, ranges.end, strict=True)
        ]
        spans = [(numbering, *span) for numbering, span in self._spans.items()]
        return NumberState(runs, spans, self.last, self.unnumbered_from)

    def add(self, trades: pl.DataFrame) -> Self:
        """Add trades (DAY_TRADES), none of which is before one that was added."""
        unnumbered = trades.filter((pl.col("sequence") == 0) & pl.col("counts"))["time"]
        if unnumbered.len():
            self.unnumbered_from = min(self.unnumbered_from, int(unnumbered[0]))
        numbered = trades.filter(pl.col("sequence") > 0)
        if numbered.is_empty():
            return self
        self.last = int(numbered["sequence"][-1])
        for numbering in numbered["numbering"].unique().to_list():
            self._add(numbering, numbered.filter(numbering=numbering))
        return self

    def _add(self, numbering: int, numbered: pl.DataFrame) -> None:
        begin, end = int(numbered["time"][0]), int(numbered["time"][-1])
        self._spans[numbering] = self._spans.get(numbering, (begin, end))[0], end
        run = (pl.col("sequence").diff().fill_null(1) != 1).cum_sum().alias("run")
        runs = numbered.sort("sequence", maintain_order=True).group_by(run, maintain_order=True)
        ends = runs.agg(
            pl.col("sequence").first().alias("first"),
            pl.col("sequence").last().alias("last"),
            pl.col("time").first().alias("begin"),
            pl.col("time").last().alias("end"),
        )
        ranges = self._ranges.setdefault(numbering, SequenceRanges())
        for one in ends.select("first", "last", "begin", "end").iter_rows():
            ranges.add(SequenceRun(*one))

    def gaps(self) -> list[Gap]:
        """Return the gaps between two trades of the day, by time."""
        return sorted(
            Gap(missing.before, missing.last - missing.first + 1)
            for ranges in self._ranges.values()
            for missing in ranges.missing_ranges()
        )

    def unproven_from(self, number_before: int | None) -> int:
        """Return the time from which on numbers do not prove that bars begin where they should.

        That is midnight if the day's first number does not follow the last one of an earlier day
        and is not 1, else the end of the day's first numbering if there is another one.
        """
        if not self._spans:
            return NEVER
        numbering, (_, end) = min(self._spans.items(), key=lambda item: item[1])
        first = self._ranges[numbering].first[0]
        if first != 1 and first - 1 != number_before:
            return -NEVER
        return end if len(self._spans) > 1 else NEVER
