"""Which trades of an exchange have been seen: the ledger that tells a repeat.

Trades that the exchange numbers are kept as ranges of numbers, so the memory is
that of the holes, not of the trades, and no repeat is too old to be recognized;
what lies between the ranges is what is missing. Trades without numbers are
remembered by id for a little more than a day of their own time, as long as any of
their candles is still open to change; what is missing of them nobody can tell.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import polars as pl

from candlewax.core.candles.combine import MINUTE
from candlewax.core.gaps.gap_state import FIRST_SEEN, MISSING_RANGES, MOMENTS, TIME_RANGES, GapState
from candlewax.core.gaps.gap_tracker import GapTracker
from candlewax.core.gaps.market_outages import MarketOutages
from candlewax.core.gaps.numberings import (
    Numberings,
    Opening,
    find_boundaries,
    series,
    split_series,
)
from candlewax.core.gaps.outages import OutageTracker
from candlewax.core.gaps.sequence_ranges import RangeChange, SequenceRanges, SequenceRun, find_runs
from candlewax.core.schema import empty
from candlewax.core.trades import unnumbered
from candlewax.core.trades.admission import Admission, Assigned
from candlewax.core.trades.extents import extents
from candlewax.core.trades.openings import may_open

UNPROVEN: Final = 2
"""A number that is not the first one there was."""


@dataclass
class Deduplicator:
    """What has been seen of one exchange.

    `numbered`: the numbers seen, by series. `unnumbered`: chunks of symbol
    (String), trade_id (String) and timestamp. `gaps`: the gaps that are open.
    `connections`: which connections are alive. `contradicted`: symbols and minutes (their starts,
    microseconds since 1970) that hold trades of which two came under one number: no candle is
    shorter. `numbered` has a series for each
    numbering of a symbol: `numberings` tells which there are.
    """

    numbered: dict[str, SequenceRanges] = field(default_factory=dict)
    unnumbered: list[pl.DataFrame] = field(default_factory=list)
    gaps: GapTracker = field(default_factory=GapTracker)
    connections: OutageTracker = field(default_factory=OutageTracker)
    contradicted: set[tuple[str, int]] = field(default_factory=set)
    numberings: Numberings = field(default_factory=Numberings)
    market_outages: MarketOutages = field(default_factory=MarketOutages)
    _changes: dict[str, RangeChange] = field(default_factory=dict, init=False, repr=False)
    _holes: dict[str, pl.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _known: GapState | None = field(default=None, init=False, repr=False)
    _new_spans: set[tuple[str, int, int]] = field(default_factory=set, init=False, repr=False)
    _assigned: Assigned = field(default_factory=Assigned, init=False, repr=False)
    _known_seams: set[tuple[str, int]] = field(default_factory=set, init=False, repr=False)
    _several: dict[str, tuple[str, int]] = field(default_factory=dict, init=False, repr=False)
    _counted: int = field(default=0, init=False, repr=False)
    _contradicted: pl.DataFrame | None = field(default=None, init=False, repr=False)

    def mark_new(self, trades: pl.DataFrame, *, decided: bool = False) -> Admission:
        """Tell which trades are seen for the first time, and remember them.

        Of equal numbers in the batch the first one is. In: symbol, sequence, trade_id,
        timestamp of TRADES, in the order the trades came; `numbering` too where it is `decided`
        to which one each trade belongs.
        """
        keys = trades[["symbol", "sequence", "trade_id", "timestamp"]].with_row_index("place")
        least: Any = keys["sequence"].min()
        numbered = keys if keys.height and least > 0 else keys.filter(pl.col("sequence") > 0)
        self._assigned = Assigned()
        if decided and trades.height and (trades["numbering"] > 0).any():
            keys = keys.hstack([trades["numbering"]])
            repeated = [
                self._admit_numbered(part, part["numbering"][0])
                for part in keys.filter(pl.col("sequence") > 0).partition_by("numbering")
            ]
        else:
            repeated = [self._admit_numbered(numbered, 0 if decided else None)]
        if numbered.height < keys.height:
            without = keys.filter(pl.col("sequence") == 0)
            repeated.append(unnumbered.admit(without, self.unnumbered))
        fresh = pl.Series("fresh", [True], dtype=pl.Boolean).new_from_index(0, trades.height)
        for places in repeated:
            if places.len():
                fresh = fresh.scatter(places, False)
        numbering = trades["numbering"] if decided else self._assigned.column(trades["symbol"])
        return Admission(fresh, numbering, self._assigned.opened)

    def _admit_numbered(self, keys: pl.DataFrame, decided: int | None) -> pl.Series:
        """Remember numbered trades, of the numbering that is decided or of any; gives the places
        of those already seen.
        """
        odd = []
        for extent in extents(keys):
            symbol = extent.symbol
            numbering = self.numberings.newest(symbol) if decided is None else decided
            name = series(symbol, numbering)
            ranges = self.numbered.setdefault(name, SequenceRanges())
            follows = bool(ranges.last) and extent.least == ranges.last[-1] + 1
            above = not ranges.last or extent.least > ranges.last[-1]
            if decided is None and symbol in self.numberings.starts:
                # Only what continues the newest numbering surely belongs to it.
                above = follows = follows and self.numberings.is_newest(symbol, extent.earliest)
            elif decided is None and above and ranges.first:
                lowest = ranges.first[0]
                above = not self.numberings.may_be_older(
                    symbol, lowest, extent.most, extent.earliest
                )
            if not (extent.whole and above):
                odd.append(symbol)
                continue
            if follows:
                ranges.last[-1], ranges.end[-1] = extent.most, extent.end
            else:
                self._add(name, [SequenceRun(extent.least, extent.most, extent.begin, extent.end)])
            self.numberings.record_times(symbol, extent.earliest, extent.latest)
            if decided is None and numbering:
                self._assigned.symbols[symbol] = numbering
        if not odd:
            return pl.Series(dtype=pl.UInt32)
        rest = keys.filter(pl.col("symbol").is_in(pl.Series(odd, dtype=pl.Categorical).implode()))
        return pl.concat(
            [
                self._admit_odd(symbol, rest.filter(pl.col("symbol") == symbol), decided)
                for symbol in odd
            ]
        )

    def _admit_odd(self, symbol: str, keys: pl.DataFrame, decided: int | None) -> pl.Series:
        """Remember trades of a symbol that do not all follow on those seen."""
        name = series(symbol, decided or 0)
        ranges = self.numbered[name]
        known = ranges.contains(keys["sequence"]) | ~keys["sequence"].is_first_distinct()
        if decided is None and (
            self.numberings.count(symbol) > 1
            or may_open(keys, known, ranges, *self.numberings.time_span(symbol))
        ):
            return self._admit_each(symbol, keys)
        fresh = keys.filter(~known).sort("sequence")
        self._add(name, find_runs(fresh["sequence"], fresh["timestamp"].cast(pl.Int64)))
        if fresh.height:
            times: Any = fresh["timestamp"].cast(pl.Int64)
            self.numberings.record_times(symbol, times.min(), times.max())
        return keys["place"].filter(known)

    def _admit_each(self, symbol: str, keys: pl.DataFrame) -> pl.Series:
        """Remember trades of a symbol one by one, each in its numbering."""
        repeated = []
        times = keys["timestamp"].cast(pl.Int64)
        rows = zip(keys["place"].to_list(), keys["sequence"].to_list(), times, strict=True)
        for place, number, time in rows:
            is_new, numbering, opening = self.mark_number(symbol, number, time)
            if opening:
                self._assigned.opened.append((symbol, opening))
            if numbering:
                self._assigned.places[place] = numbering
            if not is_new:
                repeated.append(place)
        return pl.Series(repeated, dtype=pl.UInt32)

    def mark_number(
        self, symbol: str, number: int, time: int, decided: int | None = None
    ) -> tuple[bool, int, Opening | None]:
        """Remember one numbered trade, of the numbering that is decided or of that of its time.
        Return whether it is new, its numbering, and the numbering that it opened.
        """
        opening = None
        if decided is not None:
            numbering = decided
        elif symbol not in self.numberings.starts and self._follows(symbol, number):
            numbering = 0
        else:
            numbering, opening = self.numberings.assign(symbol, number, time, self.numbered)
        name = series(symbol, numbering)
        ranges = self.numbered.setdefault(name, SequenceRanges())
        if ranges.last and number == ranges.last[-1] + 1:
            ranges.last[-1], ranges.end[-1] = number, time
        elif ranges.has(number):
            return False, numbering, opening
        else:
            self._add(name, [SequenceRun(number, number, time, time)])
        self.numberings.record_times(symbol, time, time)
        return True, numbering, opening

    def _follows(self, symbol: str, number: int) -> bool:
        """Return whether a number continues the only numbering of a symbol."""
        ranges = self.numbered.get(symbol)
        return ranges is not None and bool(ranges.last) and number == ranges.last[-1] + 1

    def _add(self, symbol: str, found: list[SequenceRun]) -> None:
        """Put numbers of a symbol in, and remember what that changes."""
        ranges, change = self.numbered[symbol], self._changes.get(symbol) or RangeChange()
        for run in found:
            change.add(ranges, run)
        if change:
            self._changes[symbol] = change
        else:
            self._changes.pop(symbol, None)

    def begin(self) -> None:
        """All that is known until now is no change."""
        self.changes()
        self._known_seams = self._seams()
        self._new_spans.clear()

    def changes(self) -> dict[str, RangeChange]:
        """How the holes of each symbol have changed since this was asked last."""
        changes, self._changes = self._changes, {}
        return changes

    def gap_state(self, changes: Mapping[str, RangeChange], outages: pl.DataFrame) -> GapState:
        """What is known of unseen trades; `changes` as `changes` gave them last, and
        OUTAGES that are over.
        """
        seams = self._seams()
        moved = {(symbol, time, time) for symbol, time in seams ^ self._known_seams}
        spans, self._new_spans, self._known_seams = self._new_spans | moved, set(), seams
        if self._known is None or changes or spans:
            for name in changes if self._known else self.numbered:
                symbol, _ = split_series(name)
                rows = [(symbol, *hole) for hole in self.numbered[name].missing_ranges()]
                self._holes[name] = pl.DataFrame(rows, MISSING_RANGES, orient="row")
            self._known = GapState(
                pl.concat([empty(MISSING_RANGES), *self._holes.values()]),
                pl.DataFrame(self._begins(), FIRST_SEEN, orient="row"),
                self._moments(),
                pl.DataFrame(self.market_outages.time_ranges(), TIME_RANGES, orient="row"),
            )
        if not changes and not spans and outages.is_empty():
            return self._known
        return replace(self._known, changed_ranges=_spans(changes, spans), outages=outages)

    def _moments(self) -> pl.DataFrame:
        """MOMENTS that are contradicted; made anew only if there are more."""
        if self._contradicted is None or self._contradicted.height < len(self.contradicted):
            self._contradicted = pl.DataFrame(sorted(self.contradicted), MOMENTS, orient="row")
        return self._contradicted

    def _begins(self) -> list[tuple[str, int, int]]:
        """Rows of FIRST_SEEN. Where one numbering ended and another followed, as little is proven
        as where a feed begins: such times stand among them like those of a number not the first.
        """
        unproven = [(symbol, UNPROVEN, time) for symbol, time in self._known_seams]
        lowest = [
            (split_series(name)[0], ranges.first[0], ranges.begin[0])
            for name, ranges in self.numbered.items()
            if ranges.first
        ]
        return lowest + unproven

    def _seams(self) -> set[tuple[str, int]]:
        """Where one numbering ended and another followed."""
        if self._counted < len(self.numbered):
            self._counted = len(self.numbered)
            names = {name: split_series(name) for name in self.numbered}
            several = {symbol for symbol, numbering in names.values() if numbering}
            self._several = {name: of for name, of in names.items() if of[0] in several}
        return find_boundaries(self.numbered, self._several) if self._several else set()

    def add_contradictions(self, moments: Iterable[tuple[str, int]]) -> None:
        """Remember the symbols and times of trades of which two came under one number."""
        new = {(symbol, time // MINUTE * MINUTE) for symbol, time in moments} - self.contradicted
        self.contradicted |= new
        self._new_spans |= {(symbol, time, time) for symbol, time in new}

    def add_spans(self, spans: Iterable[tuple[str, int, int]]) -> None:
        """Remember spans (symbol, first and last moment) in which something else is known now."""
        self._new_spans |= set(spans)

    def expire(self, latest: int) -> None:
        """Drop ids that no open candle can need; `latest` in microseconds."""
        self.unnumbered = unnumbered.recent(self.unnumbered, latest)

    def copy(self) -> "Deduplicator":
        """A copy that later changes do not reach."""
        numbered = {symbol: ranges.copy() for symbol, ranges in self.numbered.items()}
        return Deduplicator(
            numbered,
            self.unnumbered[:],
            self.gaps.copy(),
            self.connections.copy(),
            set(self.contradicted),
            self.numberings.copy(),
            self.market_outages.copy(),
        )


def _spans(
    changes: Mapping[str, RangeChange], more: Iterable[tuple[str, int, int]]
) -> pl.DataFrame:
    """TIME_RANGES in which something is known now that was not, or no longer."""
    rows = set(more) | {
        (split_series(name)[0], before, after)
        for name, change in changes.items()
        for before, after in (
            *((hole.before, hole.after) for hole in change.removed | change.added),
            *((time, time) for time in change.begin_times),
        )
    }
    return pl.DataFrame(sorted(rows), TIME_RANGES, orient="row")
