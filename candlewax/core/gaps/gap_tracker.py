"""Which gaps of an exchange are open: the holes as they were first found, until all
that was missing has come.

A gap is known by the hole it was when it was found. What comes later makes it smaller,
but never two of it, so a row says of it only what stays true: rows may come again and in
any order, and where the rows of a gap are merged the fewest missing and the latest state
hold.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final, NamedTuple

import polars as pl

from candlewax.core.gaps.numberings import series, split_series
from candlewax.core.gaps.sequence_ranges import MissingRange, RangeChange, SequenceRanges
from candlewax.core.schema import GAP_OPEN, GAP_REPAIRED, GAPS, TIME, empty

_TIMES: Final = ("before", "after", "detected_at")

_NONE: Final = empty(GAPS)


class Detection(NamedTuple):
    """What showed that numbers are missing: the connection of a trade beside them, and
    when its frame was received, in microseconds since 1970.
    """

    connection: str
    detected_at: int


@dataclass(frozen=True)
class Gap:
    """What stays to be said of a gap; `missing` counts its numbers not seen yet."""

    missing: int
    before: int
    after: int
    shown: Detection


Key = tuple[int, int]
"""The first and the last number of a gap, as it was found."""


@dataclass
class GapTracker:
    """The open gaps by symbol. Every hole of a symbol lies in one of them.

    `ahead` are the symbols of which a gap reaches beyond what has been seen, on either side:
    found by a process before this one, in trades that this one has yet to read.
    """

    gaps: dict[str, dict[Key, Gap]] = field(default_factory=dict)
    ahead: set[str] = field(default_factory=set)

    def update(
        self,
        exchange: str,
        changes: Mapping[str, RangeChange],
        ranges: Mapping[str, SequenceRanges],
        trades: pl.DataFrame,
        bronze: pl.DataFrame,
    ) -> pl.DataFrame:
        """Follow a change of holes; gives GAPS, a row for each gap that is new, smaller,
        or no more.

        In: `trades` as they were admitted (TRADES with `row`), `bronze` their frames.
        """
        if not (changes or self.ahead):
            return _NONE
        # First, while it is known which gaps reached ahead.
        found = [
            (symbol, hole)
            for symbol in sorted(changes)
            for hole in self._uncovered(symbol, changes[symbol])
        ]
        rows = [
            (symbol, *row)
            for symbol in sorted(changes.keys() | self.ahead)
            for row in self._shrink(symbol, self._touched(symbol, changes), ranges)
        ]
        if found:
            rows += self.open(found, _shown(found, trades, bronze))
        return _frame(exchange, rows)

    def _touched(self, symbol: str, changes: Mapping[str, RangeChange]) -> list[Key]:
        """The gaps of which less may be missing."""
        gaps = self.gaps.get(symbol, {})
        if symbol in self.ahead:
            return list(gaps)
        gone = changes[symbol].gone
        if not gone:
            return []
        low, high = min(gone).first, max(gone).last
        return [key for key in gaps if key[0] <= high and key[1] >= low]

    def _shrink(
        self, symbol: str, touched: list[Key], ranges: Mapping[str, SequenceRanges]
    ) -> list[tuple[Key, Gap]]:
        """The gaps of which less is missing; those of which nothing is are no more."""
        if not touched:
            return []
        gaps, seen, smaller = self.gaps[symbol], ranges.get(symbol, SequenceRanges()), []
        for key in touched:
            missing = seen.count_missing(*key)
            if missing < gaps[key].missing:
                gaps[key] = replace(gaps[key], missing=missing)
                smaller.append((key, gaps[key]))
                if not missing:
                    del gaps[key]
        self._settle(symbol, seen)
        return smaller

    def _settle(self, symbol: str, seen: SequenceRanges) -> None:
        """Note whether a gap reaches beyond what has been seen."""
        gaps = self.gaps.get(symbol, ())
        if any(not seen.is_within(first, last) for first, last in gaps):
            self.ahead.add(symbol)
        else:
            self.ahead.discard(symbol)

    def _uncovered(self, symbol: str, change: RangeChange) -> list[MissingRange]:
        """The new holes that are no part of an open gap: not what others left over, each
        of which a gap holds, and in no gap from ahead.
        """
        left = _Cover((hole.first, hole.last) for hole in change.gone)
        gaps = _Cover(self.gaps[symbol] if symbol in self.ahead else ())
        return [
            hole
            for hole in sorted(change.new)
            if not (left.holds(hole.first, hole.last) or gaps.holds(hole.first, hole.last))
        ]

    def open(
        self, found: Iterable[tuple[str, MissingRange]], shown: Iterable[Detection]
    ) -> list[tuple[str, Key, Gap]]:
        """Begin new gaps, each of a symbol and its hole."""
        rows = []
        for (symbol, hole), by in zip(found, shown, strict=True):
            key = (hole.first, hole.last)
            gap = Gap(hole.last - hole.first + 1, hole.before, hole.after, by)
            self.gaps.setdefault(symbol, {})[key] = gap
            rows.append((symbol, key, gap))
        return rows

    def restore(
        self, stored: pl.DataFrame, ranges: Mapping[str, SequenceRanges], *, again: bool
    ) -> list[tuple[str, MissingRange]]:
        """Take over gaps that are open in their table (GAPS); gives the holes that none
        of them holds. `again` tells whether trades that are stored may yet be read again.

        A gap that lies before all that is known of its symbol, or behind it, no longer
        matters, if nothing is read again.
        """
        for name, first, last, missing, *facts, numbering in _plain(stored).iter_rows():
            symbol = series(name, numbering)
            seen = ranges.get(symbol, SequenceRanges())
            apart = not seen.first or last < seen.first[0] or first > seen.last[-1]
            if again or not apart:
                before, after, connection, detected_at = facts
                gap = Gap(missing, before, after, Detection(connection, detected_at))
                self.gaps.setdefault(symbol, {}).setdefault((first, last), gap)
                self._settle(symbol, seen)
        found = []
        for symbol, seen in ranges.items():
            gaps = _Cover(self.gaps.get(symbol, ()))
            holes = (hole for hole in seen.all_holes() if not gaps.holds(hole.first, hole.last))
            found += [(symbol, hole) for hole in holes]
        return found

    def refresh(
        self, exchange: str, ranges: Mapping[str, SequenceRanges], found: list[tuple[str, Key, Gap]]
    ) -> pl.DataFrame:
        """GAPS: the rows of gaps just `found`, and of those adopted of which less is
        missing than their table says.
        """
        shrunk = [
            (symbol, *row)
            for symbol, gaps in self.gaps.items()
            for row in self._shrink(symbol, list(gaps), ranges)
        ]
        return _frame(exchange, [*found, *shrunk])

    @property
    def count(self) -> int:
        """How many gaps are open."""
        return sum(map(len, self.gaps.values()))

    @property
    def missing(self) -> int:
        """How many trades are missing in them."""
        return sum(gap.missing for gaps in self.gaps.values() for gap in gaps.values())

    def copy(self) -> "GapTracker":
        """A copy that later changes do not reach."""
        gaps = {symbol: dict(gaps) for symbol, gaps in self.gaps.items() if gaps}
        return GapTracker(gaps, set(self.ahead))


class _Cover:
    """Tells whether one of some spans of numbers holds another span whole."""

    def __init__(self, spans: Iterable[Key]) -> None:
        ordered = sorted(spans)
        self._first = [first for first, _ in ordered]
        # Of all that begin no later the one that reaches furthest.
        self._last = list(accumulate((last for _, last in ordered), max))

    def holds(self, first: int, last: int) -> bool:
        place = bisect_right(self._first, first) - 1
        return place >= 0 and self._last[place] >= last


def _shown(
    found: list[tuple[str, MissingRange]], trades: pl.DataFrame, bronze: pl.DataFrame
) -> list[Detection]:
    """Of the trades beside each hole the one that came later."""
    beside = pl.DataFrame(
        [
            (place, *split_series(name), number)
            for place, (name, hole) in enumerate(found)
            for number in (hole.first - 1, hole.last + 1)
        ],
        {"place": pl.UInt32, "symbol": pl.String, "numbering": pl.UInt32, "sequence": pl.UInt64},
        orient="row",
    )
    numbered = trades.select("row", "sequence", "numbering", pl.col("symbol").cast(pl.String))
    rows = (
        numbered.filter(pl.col("symbol").is_in(beside["symbol"].unique().to_list()))
        .join(beside, on=["symbol", "numbering", "sequence"])
        .group_by("place")
        .agg(pl.col("row").max())
        .sort("place")["row"]
    )
    connections = bronze["connection"].gather(rows).to_list()
    times = bronze["received_at"].cast(pl.Int64).gather(rows).to_list()
    return [Detection(*shown) for shown in zip(connections, times, strict=True)]


def _plain(stored: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in GAPS if name not in {"exchange", "state"}]  # numbering is last
    return stored.select(names).with_columns(pl.col(_TIMES).cast(pl.Int64))


def _frame(exchange: str, rows: Iterable[tuple[str, Key, Gap]]) -> pl.DataFrame:
    """GAPS."""
    data = [
        (
            exchange, symbol, first, last, gap.missing, gap.before, gap.after, *gap.shown,
            GAP_OPEN if gap.missing else GAP_REPAIRED, numbering,
        )
        for name, (first, last), gap in rows
        for symbol, numbering in (split_series(name),)
    ]  # fmt: skip
    if not data:
        return _NONE
    plain = {name: pl.Int64 if name in _TIMES else kind for name, kind in GAPS.items()}
    return pl.DataFrame(data, plain, orient="row").with_columns(pl.col(_TIMES).cast(TIME))
