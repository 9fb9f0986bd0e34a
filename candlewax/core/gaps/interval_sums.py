"""How much of many spans of time touches each of many windows.

Pure functions over frames.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

_ROOM: Final = 2**63 - 1


@dataclass(frozen=True)
class IntervalSums:
    """Spans of symbols' times, added up, so that any number of them is asked at once.

    A span that ended before a window also began before its end: so of all that began
    before its end, those that ended before it are taken off. Each symbol's spans follow
    those of the symbol before, in both orders alike, so what these add cancels out.
    """

    codes: pl.DataFrame
    base: int
    width: int
    began: "_Added"
    ended: "_Added"

    @staticmethod
    def build(spans: pl.DataFrame, size: pl.Expr) -> "IntervalSums":
        """Of some spans: symbol, `before` and `after`, both inclusive, in microseconds;
        each counts with its size (UInt64).
        """
        codes = spans.select(pl.col("symbol").cast(pl.Categorical).unique())
        base, last = spans.select(pl.col("before").min(), pl.col("after").max()).row(0)
        width = last - base + 3
        # Wide numbers are slower; thousands of symbols over a century need them.
        kind = pl.Int64 if codes.height * width < _ROOM else pl.Int128
        codes = codes.with_columns(code=pl.int_range(pl.len()).cast(kind) * width)
        sized = spans.select(
            pl.col("symbol").cast(pl.Categorical), "before", "after", size=size
        ).join(codes, on="symbol")
        began, ended = (_Added.of(sized, pl.col(t) - base + 1) for t in ("before", "after"))
        return IntervalSums(codes, base, width, began, ended)

    def overlapping(self, windows: pl.DataFrame) -> pl.Series | None:
        """The sizes of all spans that touch each window (symbol, window_start, window_end in
        microseconds), together (UInt64); None if none does.
        """
        start, end = (
            (time - self.base + 1).clip(0, self.width - 1)
            for time in (pl.col("window_start").cast(pl.Int64), pl.col("window_end"))
        )
        named = windows.select(pl.col("symbol").cast(pl.Categorical), start=start, end=end)
        code = named.join(self.codes, on="symbol", how="left", maintain_order="left")["code"]
        # A symbol without spans has no place, which comes before all.
        found = self.began.until(code + named["end"]) - self.ended.until(code + named["start"])
        return found if (found > 0).any() else None


@dataclass(frozen=True)
class _Added:
    """Spans in the order of one of their ends, and the sizes of all before each."""

    places: pl.Series
    totals: pl.Series

    @staticmethod
    def of(sized: pl.DataFrame, time: pl.Expr) -> "_Added":
        ordered = sized.select("size", place=pl.col("code") + time).sort("place")
        totals = pl.concat([_NOTHING, ordered["size"].cum_sum()])
        return _Added(ordered["place"], totals)

    def until(self, places: pl.Series) -> pl.Series:
        """The sizes of all spans before each place."""
        return self.totals.gather(self.places.search_sorted(places))


_NOTHING: Final = pl.Series("size", [0], dtype=pl.UInt64)
