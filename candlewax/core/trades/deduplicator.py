"""Deduplication of the trades of one exchange.

Numbered trades are kept as ranges of sequence numbers. So memory grows with the missing ranges, not
with the trades, and a duplicate of any age is recognized. Ids of unnumbered trades are kept for a
little more than a day of market time, as long as one of their candles is open. Missing trades among
them cannot be detected.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from candlewax.core.candles.combine import MINUTE
from candlewax.core.gaps.gap_state import (
    FIRST_SEEN,
    MISSING_RANGES,
    MOMENTS,
    TIME_RANGES,
    GapState,
    find_changed_ranges,
    first_seen_rows,
)
from candlewax.core.gaps.gap_tracker import GapTracker
from candlewax.core.gaps.market_connections import MarketConnections
from candlewax.core.gaps.market_outages import MarketOutages
from candlewax.core.gaps.numberings import (
    BoundaryFinder,
    Numberings,
    Opening,
    series,
    split_series,
)
from candlewax.core.gaps.outages import OutageTracker
from candlewax.core.gaps.sequence_ranges import RangeChange, SequenceRanges, SequenceRun, find_runs
from candlewax.core.schema import empty
from candlewax.core.trades.admission import Admission, AssignedNumberings
from candlewax.core.trades.extents import extents
from candlewax.core.trades.openings import may_open
from candlewax.core.trades.unnumbered import KnownIds


@dataclass
class Deduplicator:
    """Received trades of one exchange.

    `ranges_by_series`: received numbers, one series for each numbering of a symbol (`numberings`).
    `ids`: ids of trades without numbers. `gaps`: open gaps.
    `connections`: open connections; `market_connections`: with their markets, of an exchange whose
    ids do not count trades. `contradicted_minutes`: symbols and minutes (their starts,
    microseconds since 1970) with a contradiction; no candle is shorter.
    """

    ranges_by_series: dict[str, SequenceRanges] = field(default_factory=dict)
    ids: KnownIds = field(default_factory=KnownIds)
    gaps: GapTracker = field(default_factory=GapTracker)
    connections: OutageTracker = field(default_factory=OutageTracker)
    contradicted_minutes: set[tuple[str, int]] = field(default_factory=set)
    numberings: Numberings = field(default_factory=Numberings)
    market_outages: MarketOutages = field(default_factory=MarketOutages)
    market_connections: MarketConnections = field(default_factory=MarketConnections)
    _changes: dict[str, RangeChange] = field(default_factory=dict, init=False, repr=False)
    _missing_ranges: dict[str, pl.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _gap_state: GapState | None = field(default=None, init=False, repr=False)
    _changed_spans: set[tuple[str, int, int]] = field(default_factory=set, init=False, repr=False)
    _assignments: AssignedNumberings = field(
        default_factory=AssignedNumberings, init=False, repr=False
    )
    _known_boundaries: set[tuple[str, int]] = field(default_factory=set, init=False, repr=False)
    _boundary_finder: BoundaryFinder = field(default_factory=BoundaryFinder, init=False, repr=False)
    _contradicted_rows: pl.DataFrame | None = field(default=None, init=False, repr=False)

    def mark_new(self, trades: pl.DataFrame, *, has_numbering: bool = False) -> Admission:
        """Mark the trades received for the first time, and remember them.

        Of equal numbers in the batch the first is new. In: symbol, sequence, trade_id, timestamp of
        TRADES, in the order received. With `has_numbering` also `numbering`, which then stands;
        else it is determined here.
        """
        keys = trades[["symbol", "sequence", "trade_id", "timestamp"]].with_row_index("place")
        lowest: Any = keys["sequence"].min()
        with_numbers = keys if keys.height and lowest > 0 else keys.filter(pl.col("sequence") > 0)
        self._assignments = AssignedNumberings()
        if has_numbering and trades.height and (trades["numbering"] > 0).any():
            keys = keys.hstack([trades["numbering"]])
            duplicates = [
                self._add_numbered(part, part["numbering"][0])
                for part in keys.filter(pl.col("sequence") > 0).partition_by("numbering")
            ]
        else:
            duplicates = [self._add_numbered(with_numbers, 0 if has_numbering else None)]
        if with_numbers.height < keys.height:
            without_numbers = keys.filter(pl.col("sequence") == 0)
            duplicates.append(self.ids.add(without_numbers))
        is_new = pl.Series("is_new", [True], dtype=pl.Boolean).new_from_index(0, trades.height)
        for places in duplicates:
            if places.len():
                is_new = is_new.scatter(places, False)
        numbering = (
            trades["numbering"] if has_numbering else self._assignments.column(trades["symbol"])
        )
        return Admission(is_new, numbering, self._assignments.openings)

    def _add_numbered(self, keys: pl.DataFrame, target: int | None) -> pl.Series:
        """Add numbered trades to the numbering `target`, or to any. Return places of duplicates."""
        unordered = []
        for extent in extents(keys):
            symbol = extent.symbol
            numbering = self.numberings.newest(symbol) if target is None else target
            name = series(symbol, numbering)
            ranges = self.ranges_by_series.setdefault(name, SequenceRanges())
            follows = bool(ranges.last) and extent.lowest == ranges.last[-1] + 1
            above = not ranges.last or extent.lowest > ranges.last[-1]
            if target is None and symbol in self.numberings.starts:
                # Only trades that continue the newest numbering surely belong to it.
                above = follows = follows and self.numberings.is_newest(symbol, extent.earliest)
            elif target is None and above and ranges.first:
                lowest = ranges.first[0]
                above = not self.numberings.may_be_older(
                    symbol, lowest, extent.highest, extent.earliest
                )
            if not (extent.is_whole and above):
                unordered.append(symbol)
                continue
            if follows:
                ranges.last[-1], ranges.end[-1] = extent.highest, extent.end
            else:
                self._add(
                    name, [SequenceRun(extent.lowest, extent.highest, extent.begin, extent.end)]
                )
            self.numberings.record_times(symbol, extent.earliest, extent.latest)
            if target is None and numbering:
                self._assignments.by_symbol[symbol] = numbering
        if not unordered:
            return pl.Series(dtype=pl.UInt32)
        remaining = keys.filter(
            pl.col("symbol").is_in(pl.Series(unordered, dtype=pl.Categorical).implode())
        )
        return pl.concat(
            [
                self._add_unordered(symbol, remaining.filter(pl.col("symbol") == symbol), target)
                for symbol in unordered
            ]
        )

    def _add_unordered(self, symbol: str, keys: pl.DataFrame, target: int | None) -> pl.Series:
        """Add trades of a symbol that are not in sequence. Return places of duplicates."""
        name = series(symbol, target or 0)
        ranges = self.ranges_by_series[name]
        is_known = ranges.contains(keys["sequence"]) | ~keys["sequence"].is_first_distinct()
        if target is None and (
            self.numberings.count(symbol) > 1
            or may_open(keys, is_known, ranges, *self.numberings.time_span(symbol))
        ):
            return self._add_one_by_one(symbol, keys)
        new = keys.filter(~is_known).sort("sequence")
        self._add(name, find_runs(new["sequence"], new["timestamp"].cast(pl.Int64)))
        if new.height:
            times: Any = new["timestamp"].cast(pl.Int64)
            self.numberings.record_times(symbol, times.min(), times.max())
        return keys["place"].filter(is_known)

    def _add_one_by_one(self, symbol: str, keys: pl.DataFrame) -> pl.Series:
        """Add trades of a symbol, each to its numbering. Return places of duplicates."""
        duplicates = []
        times = keys["timestamp"].cast(pl.Int64)
        rows = zip(keys["place"].to_list(), keys["sequence"].to_list(), times, strict=True)
        for place, number, time in rows:
            is_new, numbering, opening = self.add_number(symbol, number, time)
            if opening:
                self._assignments.openings.append((symbol, opening))
            if numbering:
                self._assignments.by_place[place] = numbering
            if not is_new:
                duplicates.append(place)
        return pl.Series(duplicates, dtype=pl.UInt32)

    def add_number(
        self, symbol: str, number: int, time: int, numbering: int | None = None
    ) -> tuple[bool, int, Opening | None]:
        """Add one numbered trade, to the given numbering or to that of its time.

        Return whether it is new, its numbering, and the numbering that it opened.
        """
        opening = None
        if numbering is None:
            if symbol not in self.numberings.starts and self._continues(symbol, number):
                numbering = 0
            else:
                numbering, opening = self.numberings.assign(
                    symbol, number, time, self.ranges_by_series
                )
        name = series(symbol, numbering)
        ranges = self.ranges_by_series.setdefault(name, SequenceRanges())
        if ranges.last and number == ranges.last[-1] + 1:
            ranges.last[-1], ranges.end[-1] = number, time
        elif ranges.has(number):
            return False, numbering, opening
        else:
            self._add(name, [SequenceRun(number, number, time, time)])
        self.numberings.record_times(symbol, time, time)
        return True, numbering, opening

    def _continues(self, symbol: str, number: int) -> bool:
        """Return whether a number continues the only numbering of a symbol."""
        ranges = self.ranges_by_series.get(symbol)
        return ranges is not None and bool(ranges.last) and number == ranges.last[-1] + 1

    def _add(self, series_name: str, new_runs: list[SequenceRun]) -> None:
        """Add numbers of a series, and record the change."""
        ranges = self.ranges_by_series[series_name]
        change = self._changes.get(series_name) or RangeChange()
        for run in new_runs:
            change.add(ranges, run)
        if change:
            self._changes[series_name] = change
        else:
            self._changes.pop(series_name, None)

    def discard_changes(self) -> None:
        """Discard the changes so far, as when a state was loaded."""
        self.take_changes()
        self._known_boundaries = self._boundary_finder.find(self.ranges_by_series)
        self._changed_spans.clear()

    @property
    def has_changes(self) -> bool:
        """True if missing ranges changed since `take_changes`."""
        return bool(self._changes)

    def take_changes(self) -> dict[str, RangeChange]:
        """Return the changes of missing ranges by series since the last call."""
        changes, self._changes = self._changes, {}
        return changes

    def gap_state(self, changes: Mapping[str, RangeChange], outages: pl.DataFrame) -> GapState:
        """Return the gap state.

        `changes`: the last result of `take_changes`. `outages`: OUTAGES that ended.
        """
        boundaries = self._boundary_finder.find(self.ranges_by_series)
        moved = {(symbol, time, time) for symbol, time in boundaries ^ self._known_boundaries}
        spans, self._changed_spans = self._changed_spans | moved, set()
        self._known_boundaries = boundaries
        if self._gap_state is None or changes or spans:
            for name in changes if self._gap_state else self.ranges_by_series:
                symbol, _ = split_series(name)
                missing_ranges = self.ranges_by_series[name].missing_ranges()
                rows = [(symbol, *missing) for missing in missing_ranges]
                self._missing_ranges[name] = pl.DataFrame(rows, MISSING_RANGES, orient="row")
            self._gap_state = GapState(
                pl.concat([empty(MISSING_RANGES), *self._missing_ranges.values()]),
                pl.DataFrame(
                    first_seen_rows(self.ranges_by_series, boundaries), FIRST_SEEN, orient="row"
                ),
                self._moments(),
                pl.DataFrame(self.market_outages.time_ranges(), TIME_RANGES, orient="row"),
            )
        if not changes and not spans and outages.is_empty():
            return self._gap_state
        return replace(
            self._gap_state, changed_ranges=find_changed_ranges(changes, spans), outages=outages
        )

    def _moments(self) -> pl.DataFrame:
        """Return MOMENTS of contradictions, rebuilt only if there are more."""
        minutes, rows = self.contradicted_minutes, self._contradicted_rows
        if rows is None or rows.height < len(minutes):
            rows = self._contradicted_rows = pl.DataFrame(sorted(minutes), MOMENTS, orient="row")
        return rows

    def add_contradictions(self, moments: Iterable[tuple[str, int]]) -> None:
        """Add the symbols and times of contradicting trades."""
        minutes = {(symbol, time // MINUTE * MINUTE) for symbol, time in moments}
        new = minutes - self.contradicted_minutes
        self.contradicted_minutes |= new
        self._changed_spans |= {(symbol, time, time) for symbol, time in new}

    def add_spans(self, spans: Iterable[tuple[str, int, int]]) -> None:
        """Add spans (symbol, first and last moment) in which certificates may have changed."""
        self._changed_spans |= set(spans)

    def expire(self, latest_us: int) -> None:
        """Drop ids that no open candle can need; `latest_us`: time of the latest trade."""
        self.ids.expire(latest_us)

    def copy(self) -> "Deduplicator":
        """Return a copy that later changes do not reach."""
        copies = {name: ranges.copy() for name, ranges in self.ranges_by_series.items()}
        return Deduplicator(
            copies,
            self.ids.copy(),
            self.gaps.copy(),
            self.connections.copy(),
            set(self.contradicted_minutes),
            self.numberings.copy(),
            self.market_outages.copy(),
            self.market_connections.copy(),
        )
