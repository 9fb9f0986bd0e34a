"""Which trades of an exchange have been seen: the ledger that tells a repeat.

Trades that the exchange numbers are kept as ranges of numbers, so the memory is
that of the holes, not of the trades, and no repeat is too old to be recognized.
Trades without numbers are remembered by id for a little more than a day of their
own time, as long as any of their candles is still open to change.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import polars as pl

KEPT: Final = timedelta(days=1, minutes=30)
"""How far behind the latest trade the ids of unnumbered trades are kept."""

_CHUNK: Final = 20_000
"""Ids are kept in chunks of about this many, dropped whole when they are old."""


@dataclass
class Ranges:
    """A set of numbers as closed ranges, in order, none touching the next."""

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)

    def add(self, first: int, last: int) -> None:
        """Put in the numbers from `first` to `last`."""
        begin = bisect_left(self.last, first - 1)
        end = bisect_right(self.first, last + 1)
        if begin < end:
            first = min(first, self.first[begin])
            last = max(last, self.last[end - 1])
        self.first[begin:end] = [first]
        self.last[begin:end] = [last]

    def holds(self, numbers: pl.Series) -> pl.Series:
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


def _least(numbers: pl.Series) -> int:
    return int(numbers.min())  # type: ignore[arg-type]


def _most(numbers: pl.Series) -> int:
    return int(numbers.max())  # type: ignore[arg-type]


@dataclass
class Ledger:
    """What has been seen of one exchange.

    `numbered`: the numbers seen, by symbol. `unnumbered`: chunks of symbol
    (String), trade_id (String) and timestamp.
    """

    numbered: dict[str, Ranges] = field(default_factory=dict)
    unnumbered: list[pl.DataFrame] = field(default_factory=list)

    def admit(self, trades: pl.DataFrame) -> pl.Series:
        """Tell which trades are seen for the first time (Boolean) and remember them.

        Of equal trades in the batch the first one is. In: symbol, sequence,
        trade_id, timestamp of TRADES, in the order the trades came.
        """
        keys = trades[["symbol", "sequence", "trade_id", "timestamp"]].with_row_index("place")
        if keys.height and _least(keys["sequence"]) > 0:
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
        extent = keys.group_by("symbol").agg(
            symbol_text=pl.col("symbol").first().cast(pl.String),
            least=pl.col("sequence").min(),
            most=pl.col("sequence").max(),
            rows=pl.len(),
            distinct=pl.col("sequence").n_unique(),
        )
        odd = []
        for symbol, least, most, rows, distinct in extent.drop("symbol").iter_rows():
            ranges = self.numbered.setdefault(symbol, Ranges())
            whole = rows == distinct == most - least + 1
            if whole and (not ranges.last or least > ranges.last[-1]):
                ranges.add(least, most)
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
        fresh = keys["sequence"].filter(~known).sort()
        for first, last in _islands(fresh):
            ranges.add(first, last)
        return keys["place"].filter(known)

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
        numbered = {s: Ranges(r.first[:], r.last[:]) for s, r in self.numbered.items()}
        return Ledger(numbered, self.unnumbered[:])


def _islands(numbers: pl.Series) -> list[tuple[int, int]]:
    """The runs of consecutive numbers in sorted distinct numbers."""
    if numbers.is_empty():
        return []
    frame = pl.DataFrame({"n": numbers}).with_columns(
        # Not diff(): it has no sign to spare for numbers above 2^63.
        run=(pl.col("n") - pl.col("n").shift(1) != 1).fill_null(False).cum_sum()
    )
    runs = frame.group_by("run").agg(first=pl.col("n").min(), last=pl.col("n").max())
    return list(runs.select("first", "last").iter_rows())
