"""Which trades of an exchange have been seen: the ledger that tells a repeat.

Trades that the exchange numbers are kept as ranges of numbers, so the memory is
that of the holes, not of the trades, and no repeat is too old to be recognized;
what lies between the ranges is what is missing. Trades without numbers are
remembered by id for a little more than a day of their own time, as long as any of
their candles is still open to change; what is missing of them nobody can tell.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import polars as pl

from candlewax.gaps import BEGINS, HOLES, MOMENTS, SPANS, Knowledge
from candlewax.open_gaps import OpenGaps
from candlewax.outages import Connections
from candlewax.ranges import Change, Ranges, Run, runs
from candlewax.schema import empty

KEPT: Final = timedelta(days=1, minutes=30)
"""How far behind the latest trade the ids of unnumbered trades are kept."""

_FEW: Final = 300
"""Trades that are sooner looked at one by one."""

_CHUNK: Final = 20_000
"""Ids are kept in chunks of about this many, dropped whole when they are old."""


@dataclass
class Ledger:
    """What has been seen of one exchange.

    `numbered`: the numbers seen, by symbol. `unnumbered`: chunks of symbol
    (String), trade_id (String) and timestamp. `gaps`: the gaps that are open.
    `connections`: which connections are alive. `contradicted`: symbols and times (microseconds
    since 1970) of trades of which two came under one number.
    """

    numbered: dict[str, Ranges] = field(default_factory=dict)
    unnumbered: list[pl.DataFrame] = field(default_factory=list)
    gaps: OpenGaps = field(default_factory=OpenGaps)
    connections: Connections = field(default_factory=Connections)
    contradicted: set[tuple[str, int]] = field(default_factory=set)
    _changes: dict[str, Change] = field(default_factory=dict, init=False, repr=False)
    _holes: dict[str, pl.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _known: Knowledge | None = field(default=None, init=False, repr=False)
    _new_moments: set[tuple[str, int]] = field(default_factory=set, init=False, repr=False)

    def admit(self, trades: pl.DataFrame) -> pl.Series:
        """Tell which trades are seen for the first time (Boolean) and remember them.

        Of equal trades in the batch the first one is. In: symbol, sequence,
        trade_id, timestamp of TRADES, in the order the trades came.
        """
        keys = trades[["symbol", "sequence", "trade_id", "timestamp"]].with_row_index("place")
        if keys.height and int(keys["sequence"].min()) > 0:  # type: ignore[arg-type]
            repeated = [self._admit_numbered(keys)]
        else:
            repeated = [
                self._admit_numbered(keys.filter(pl.col("sequence") > 0)),
                self._admit_unnumbered(keys.filter(pl.col("sequence") == 0)),
            ]
        fresh = pl.Series("fresh", [True], dtype=pl.Boolean).new_from_index(0, trades.height)
        for places in repeated:
            if places.len():
                fresh = fresh.scatter(places, False)
        return fresh

    def _admit_numbered(self, keys: pl.DataFrame) -> pl.Series:
        """Remember numbered trades; the places of those already seen."""
        odd = []
        extents = _few_extents(keys) if keys.height <= _FEW else _extents(keys)
        for symbol, *run, rows, distinct in extents:
            ranges = self.numbered.setdefault(symbol, Ranges())
            least, most, _, end = run
            whole = rows == distinct == most - least + 1
            if whole and ranges.last and least == ranges.last[-1] + 1:
                ranges.last[-1], ranges.end[-1] = most, end
            elif whole and (not ranges.last or least > ranges.last[-1]):
                self._add(symbol, [Run(*run)])
            else:
                odd.append(symbol)
        if not odd:
            return pl.Series(dtype=pl.UInt32)
        rest = keys.filter(pl.col("symbol").is_in(pl.Series(odd, dtype=pl.Categorical).implode()))
        places = [
            self._admit_one_by_one(symbol, rest.filter(pl.col("symbol") == symbol))
            for symbol in odd
        ]
        return pl.concat(places)

    def _admit_one_by_one(self, symbol: str, keys: pl.DataFrame) -> pl.Series:
        ranges = self.numbered[symbol]
        known = ranges.holds(keys["sequence"]) | ~keys["sequence"].is_first_distinct()
        fresh = keys.filter(~known).sort("sequence")
        self._add(symbol, runs(fresh["sequence"], fresh["timestamp"].cast(pl.Int64)))
        return keys["place"].filter(known)

    def _add(self, symbol: str, found: list[Run]) -> None:
        """Put numbers of a symbol in, and remember what that changes."""
        ranges, change = self.numbered[symbol], self._changes.get(symbol) or Change()
        for run in found:
            change.add(ranges, run)
        if change:
            self._changes[symbol] = change
        else:
            self._changes.pop(symbol, None)

    def changes(self) -> dict[str, Change]:
        """How the holes of each symbol have changed since this was asked last."""
        changes, self._changes = self._changes, {}
        return changes

    def knowledge(self, changes: Mapping[str, Change], outages: pl.DataFrame) -> Knowledge:
        """What is known of unseen trades; `changes` as `changes` gave them last, and
        OUTAGES that are over.
        """
        moments, self._new_moments = self._new_moments, set()
        if self._known is None or changes or moments:
            for symbol in changes if self._known else self.numbered:
                rows = [(symbol, *hole) for hole in self.numbered[symbol].all_holes()]
                self._holes[symbol] = pl.DataFrame(rows, HOLES, orient="row")
            begins = [(s, r.first[0], r.begin[0]) for s, r in self.numbered.items() if r.first]
            self._known = Knowledge(
                pl.concat([empty(HOLES), *self._holes.values()]),
                pl.DataFrame(begins, BEGINS, orient="row"),
                pl.DataFrame(sorted(self.contradicted), MOMENTS, orient="row"),
            )
        if not changes and not moments and outages.is_empty():
            return self._known
        return replace(self._known, changed=_spans(changes, moments), outages=outages)

    def add_contradictions(self, moments: Iterable[tuple[str, int]]) -> None:
        """Remember the symbols and times of trades of which two came under one number."""
        new = set(moments) - self.contradicted
        self.contradicted |= new
        self._new_moments |= new

    def _admit_unnumbered(self, keys: pl.DataFrame) -> pl.Series:
        """Remember trades without numbers; the places of those already seen."""
        if keys.is_empty():
            return pl.Series(dtype=pl.UInt32)
        keys = keys.with_columns(pl.col("symbol").cast(pl.String))
        identity = ["symbol", "timestamp", "trade_id"]
        first, last = keys["timestamp"].min(), keys["timestamp"].max()
        known = ~keys.select(pl.struct(identity).is_first_distinct()).to_series()
        for chunk in self.unnumbered:
            if chunk["timestamp"].max() >= first and chunk["timestamp"].min() <= last:  # type: ignore[operator]
                marked = chunk.select(*identity, seen=pl.lit(True))
                seen = keys.join(marked, on=identity, how="left", maintain_order="left")["seen"]
                known |= seen.fill_null(False)
        self._remember(keys.filter(~known).select(identity))
        return keys["place"].filter(known)

    def _remember(self, keys: pl.DataFrame) -> None:
        if keys.is_empty():
            return
        if self.unnumbered and self.unnumbered[-1].height < _CHUNK:
            keys = pl.concat([self.unnumbered.pop(), keys])
        self.unnumbered.append(keys)

    def forget(self, latest: int) -> None:
        """Drop ids that no open candle can need; `latest` in microseconds."""
        oldest = latest - KEPT // timedelta(microseconds=1)
        self.unnumbered = [
            chunk
            for chunk in self.unnumbered
            if chunk.select(pl.col("timestamp").max().cast(pl.Int64)).item() >= oldest
        ]

    def copy(self) -> "Ledger":
        """A copy that later changes do not reach."""
        numbered = {symbol: ranges.copy() for symbol, ranges in self.numbered.items()}
        return Ledger(
            numbered,
            self.unnumbered[:],
            self.gaps.copy(),
            self.connections.copy(),
            set(self.contradicted),
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a saved state, also one from before there were contradictions."""
        self.__dict__ = {"contradicted": set(), "_new_moments": set(), **state}


Extent = tuple[str, int, int, int, int, int, int]
"""A symbol's lowest and highest number and their times, how many rows it has, and how
many numbers."""


def _extents(keys: pl.DataFrame) -> Iterable[Extent]:
    number, time = pl.col("sequence"), pl.col("timestamp")
    extents = keys.group_by("symbol").agg(
        symbol_text=pl.col("symbol").first().cast(pl.String),
        least=number.min(),
        most=number.max(),
        begin=time.get(number.arg_min()).cast(pl.Int64),
        end=time.get(number.arg_max()).cast(pl.Int64),
        rows=pl.len(),
        distinct=number.n_unique(),
    )
    return extents.drop("symbol").iter_rows()


def _few_extents(keys: pl.DataFrame) -> Iterable[Extent]:
    """The same of a few trades, for which a query costs more than to look at each."""
    symbols = keys["symbol"].cast(pl.String).to_list()
    times = keys["timestamp"].cast(pl.Int64).to_list()
    found: dict[str, dict[int, int]] = {}
    rows = Counter(symbols)
    for symbol, number, time in zip(symbols, keys["sequence"].to_list(), times, strict=True):
        found.setdefault(symbol, {}).setdefault(number, time)
    for symbol, at in found.items():
        least, most = min(at), max(at)
        yield symbol, least, most, at[least], at[most], rows[symbol], len(at)


def _spans(changes: Mapping[str, Change], moments: Iterable[tuple[str, int]]) -> pl.DataFrame:
    """SPANS of time in which something is known now that was not, or no longer."""
    rows = {(symbol, time, time) for symbol, time in moments} | {
        (symbol, before, after)
        for symbol, change in changes.items()
        for before, after in (
            *((hole.before, hole.after) for hole in change.gone | change.new),
            *((time, time) for time in change.begins),
        )
    }
    return pl.DataFrame(sorted(rows), SPANS, orient="row")
