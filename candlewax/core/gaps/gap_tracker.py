"""Open gaps of an exchange, each from its detection until all its trades are received.

A gap keeps the first and last number of its detection. It shrinks as trades come, but never splits.
So a row of a gap states only what stays true: rows may repeat and come in any order. Where rows of
a gap are merged, the fewest missing and the latest state hold.
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
    """Frame that showed a gap: its connection, and its receive time in microseconds since 1970.

    It holds a trade beside the missing numbers.
    """

    connection: str
    detected_at: int


@dataclass(frozen=True)
class Gap:
    """Content of an open gap, without its key; `missing` counts its numbers not yet received."""

    missing: int
    before: int
    after: int
    detection: Detection


Key = tuple[int, int]
"""First and last number of a gap, as detected."""


@dataclass
class GapTracker:
    """Open gaps by series. Every missing range of a series lies in one of them.

    `symbols_ahead`: series with a gap that reaches beyond the received numbers, on either side. An
    earlier process detected it in trades that this one has yet to read.
    """

    gaps: dict[str, dict[Key, Gap]] = field(default_factory=dict)
    symbols_ahead: set[str] = field(default_factory=set)

    def update(
        self,
        exchange: str,
        changes: Mapping[str, RangeChange],
        ranges: Mapping[str, SequenceRanges],
        trades: pl.DataFrame,
        bronze: pl.DataFrame,
    ) -> pl.DataFrame:
        """Apply changed sequence ranges. Return GAPS of gaps that opened, shrank or closed.

        In: `trades` with their numbering (TRADES with `row`), `bronze` their frames.
        """
        if not (changes or self.symbols_ahead):
            return _NONE
        # Before gaps shrink, which changes `symbols_ahead`.
        new_ranges = [
            (symbol, missing_range)
            for symbol in sorted(changes)
            for missing_range in self._find_new_ranges(symbol, changes[symbol])
        ]
        rows = [
            (symbol, *row)
            for symbol in sorted(changes.keys() | self.symbols_ahead)
            for row in self._shrink_gaps(symbol, self._affected_gaps(symbol, changes), ranges)
        ]
        if new_ranges:
            rows += self.open_gaps(new_ranges, _find_detections(new_ranges, trades, bronze))
        return _gap_rows(exchange, rows)

    def _affected_gaps(self, symbol: str, changes: Mapping[str, RangeChange]) -> list[Key]:
        """Return the gaps that may have fewer missing numbers now."""
        gaps = self.gaps.get(symbol, {})
        if symbol in self.symbols_ahead:
            return list(gaps)
        removed = changes[symbol].removed
        if not removed:
            return []
        low, high = min(removed).first, max(removed).last
        return [key for key in gaps if key[0] <= high and key[1] >= low]

    def _shrink_gaps(
        self, symbol: str, keys: list[Key], ranges: Mapping[str, SequenceRanges]
    ) -> list[tuple[Key, Gap]]:
        """Return the gaps with fewer missing numbers, and drop those without any."""
        if not keys:
            return []
        gaps, received, smaller = self.gaps[symbol], ranges.get(symbol, SequenceRanges()), []
        for key in keys:
            missing = received.count_missing(*key)
            if missing < gaps[key].missing:
                gaps[key] = replace(gaps[key], missing=missing)
                smaller.append((key, gaps[key]))
                if not missing:
                    del gaps[key]
        self._update_ahead(symbol, received)
        return smaller

    def _update_ahead(self, symbol: str, received: SequenceRanges) -> None:
        """Record whether a gap reaches beyond the received numbers."""
        gaps = self.gaps.get(symbol, ())
        if any(not received.is_within(first, last) for first, last in gaps):
            self.symbols_ahead.add(symbol)
        else:
            self.symbols_ahead.discard(symbol)

    def _find_new_ranges(self, symbol: str, change: RangeChange) -> list[MissingRange]:
        """Return the added missing ranges that no open gap covers.

        A remainder of a removed range lies in the gap of that range.
        """
        removed = _Cover(
            (missing_range.first, missing_range.last) for missing_range in change.removed
        )
        gaps_ahead = _Cover(self.gaps[symbol] if symbol in self.symbols_ahead else ())
        return [
            missing_range
            for missing_range in sorted(change.added)
            if not (
                removed.holds(missing_range.first, missing_range.last)
                or gaps_ahead.holds(missing_range.first, missing_range.last)
            )
        ]

    def open_gaps(
        self, new_ranges: Iterable[tuple[str, MissingRange]], detections: Iterable[Detection]
    ) -> list[tuple[str, Key, Gap]]:
        """Open a gap for each missing range of a series. Return the gaps."""
        rows = []
        for (symbol, missing_range), detection in zip(new_ranges, detections, strict=True):
            key = (missing_range.first, missing_range.last)
            gap = Gap(
                missing_range.last - missing_range.first + 1,
                missing_range.before,
                missing_range.after,
                detection,
            )
            self.gaps.setdefault(symbol, {})[key] = gap
            rows.append((symbol, key, gap))
        return rows

    def restore(
        self, stored: pl.DataFrame, ranges: Mapping[str, SequenceRanges], *, may_replay: bool
    ) -> list[tuple[str, MissingRange]]:
        """Take over gaps that the table holds as open (GAPS). Return uncovered missing ranges.

        `may_replay`: stored trades may be read again. If they may not, a gap entirely before or
        behind the received numbers of its symbol is ignored.
        """
        for name, first, last, missing, *facts, numbering in _select_columns(stored).iter_rows():
            symbol = series(name, numbering)
            received = ranges.get(symbol, SequenceRanges())
            is_apart = not received.first or last < received.first[0] or first > received.last[-1]
            if may_replay or not is_apart:
                before, after, connection, detected_at = facts
                gap = Gap(missing, before, after, Detection(connection, detected_at))
                self.gaps.setdefault(symbol, {}).setdefault((first, last), gap)
                self._update_ahead(symbol, received)
        uncovered = []
        for symbol, received in ranges.items():
            gaps = _Cover(self.gaps.get(symbol, ()))
            missing_ranges = (
                missing_range
                for missing_range in received.missing_ranges()
                if not gaps.holds(missing_range.first, missing_range.last)
            )
            uncovered += [(symbol, missing_range) for missing_range in missing_ranges]
        return uncovered

    def refresh(
        self,
        exchange: str,
        ranges: Mapping[str, SequenceRanges],
        new_gaps: list[tuple[str, Key, Gap]],
    ) -> pl.DataFrame:
        """Return GAPS of `new_gaps`, and of restored gaps that miss fewer numbers than their row
        says.
        """
        smaller_gaps = [
            (symbol, *row)
            for symbol, gaps in self.gaps.items()
            for row in self._shrink_gaps(symbol, list(gaps), ranges)
        ]
        return _gap_rows(exchange, [*new_gaps, *smaller_gaps])

    @property
    def count(self) -> int:
        """Number of open gaps."""
        return sum(map(len, self.gaps.values()))

    @property
    def missing(self) -> int:
        """Number of trades missing in open gaps."""
        return sum(gap.missing for gaps in self.gaps.values() for gap in gaps.values())

    def copy(self) -> "GapTracker":
        """Return a copy that later changes do not reach."""
        gaps = {symbol: dict(gaps) for symbol, gaps in self.gaps.items() if gaps}
        return GapTracker(gaps, set(self.symbols_ahead))


class _Cover:
    """Spans of numbers, queried for one that contains another span."""

    def __init__(self, spans: Iterable[Key]) -> None:
        ordered = sorted(spans)
        self._first = [first for first, _ in ordered]
        # The furthest end of all spans that begin no later.
        self._last = list(accumulate((last for _, last in ordered), max))

    def holds(self, first: int, last: int) -> bool:
        place = bisect_right(self._first, first) - 1
        return place >= 0 and self._last[place] >= last


def _find_detections(
    new_ranges: list[tuple[str, MissingRange]], trades: pl.DataFrame, bronze: pl.DataFrame
) -> list[Detection]:
    """Return for each missing range the neighbouring trade that came later."""
    neighbours = pl.DataFrame(
        [
            (place, *split_series(name), number)
            for place, (name, missing_range) in enumerate(new_ranges)
            for number in (missing_range.first - 1, missing_range.last + 1)
        ],
        {"place": pl.UInt32, "symbol": pl.String, "numbering": pl.UInt32, "sequence": pl.UInt64},
        orient="row",
    )
    numbered = trades.select("row", "sequence", "numbering", pl.col("symbol").cast(pl.String))
    rows = (
        numbered.filter(pl.col("symbol").is_in(neighbours["symbol"].unique().to_list()))
        .join(neighbours, on=["symbol", "numbering", "sequence"])
        .group_by("place")
        .agg(pl.col("row").max())
        .sort("place")["row"]
    )
    connections = bronze["connection"].gather(rows).to_list()
    times = bronze["received_at"].cast(pl.Int64).gather(rows).to_list()
    return [Detection(*detection) for detection in zip(connections, times, strict=True)]


def _select_columns(stored: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in GAPS if name not in {"exchange", "state"}]  # numbering is last
    return stored.select(names).with_columns(pl.col(_TIMES).cast(pl.Int64))


def _gap_rows(exchange: str, rows: Iterable[tuple[str, Key, Gap]]) -> pl.DataFrame:
    """Return GAPS of gaps, with a state by their missing numbers."""
    data = [
        (
            exchange, symbol, first, last, gap.missing, gap.before, gap.after, *gap.detection,
            GAP_OPEN if gap.missing else GAP_REPAIRED, numbering,
        )
        for name, (first, last), gap in rows
        for symbol, numbering in (split_series(name),)
    ]  # fmt: skip
    if not data:
        return _NONE
    integer_times = {name: pl.Int64 if name in _TIMES else kind for name, kind in GAPS.items()}
    return pl.DataFrame(data, integer_times, orient="row").with_columns(pl.col(_TIMES).cast(TIME))
