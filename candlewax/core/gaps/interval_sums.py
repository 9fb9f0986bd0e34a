"""Sums over time spans, queried for many windows at once.

Pure functions over frames.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

_MAX_INT64: Final = 2**63 - 1


@dataclass(frozen=True)
class IntervalSums:
    """Time spans of symbols with a size each, and prefix sums over their ends.

    Every span that overlaps a window begins before the window ends. Of those, the spans that ended
    before the window began are subtracted. All symbols share one axis, one after another, so the
    sums of earlier symbols cancel out.
    """

    codes: pl.DataFrame
    base: int
    width: int
    starts: "_SortedSums"
    ends: "_SortedSums"

    @staticmethod
    def build(spans: pl.DataFrame, size: pl.Expr) -> "IntervalSums":
        """Build the sums of spans: symbol, `before` and `after`, both inclusive, in microseconds.

        `size` (UInt64): the weight of each span.
        """
        codes = spans.select(pl.col("symbol").cast(pl.Categorical).unique())
        base, last = spans.select(pl.col("before").min(), pl.col("after").max()).row(0)
        width = last - base + 3
        # Int128 is slower, but thousands of symbols over a century need it.
        kind = pl.Int64 if codes.height * width < _MAX_INT64 else pl.Int128
        codes = codes.with_columns(code=pl.int_range(pl.len()).cast(kind) * width)
        sized = spans.select(
            pl.col("symbol").cast(pl.Categorical), "before", "after", size=size
        ).join(codes, on="symbol")
        starts, ends = (_SortedSums.build(sized, pl.col(t) - base + 1) for t in ("before", "after"))
        return IntervalSums(codes, base, width, starts, ends)

    def overlapping(self, windows: pl.DataFrame) -> pl.Series | None:
        """Return the total size of the spans that overlap each window (UInt64).

        Return None if no span overlaps any. In: symbol, window_start, window_end (microseconds).
        """
        start, end = (
            (time - self.base + 1).clip(0, self.width - 1)
            for time in (pl.col("window_start").cast(pl.Int64), pl.col("window_end"))
        )
        coded = windows.select(pl.col("symbol").cast(pl.Categorical), start=start, end=end)
        code = coded.join(self.codes, on="symbol", how="left", maintain_order="left")["code"]
        # A symbol without spans has a null place, which sorts first: both sums are 0.
        sums = self.starts.sum_before(code + coded["end"]) - self.ends.sum_before(
            code + coded["start"]
        )
        return sums if (sums > 0).any() else None


@dataclass(frozen=True)
class _SortedSums:
    """Spans sorted by one of their ends, and the total size before each."""

    places: pl.Series
    totals: pl.Series

    @staticmethod
    def build(sized: pl.DataFrame, time: pl.Expr) -> "_SortedSums":
        sorted_spans = sized.select("size", place=pl.col("code") + time).sort("place")
        totals = pl.concat([_NOTHING, sorted_spans["size"].cum_sum()])
        return _SortedSums(sorted_spans["place"], totals)

    def sum_before(self, places: pl.Series) -> pl.Series:
        """Return the total size of the spans before each place."""
        return self.totals.gather(self.places.search_sorted(places))


_NOTHING: Final = pl.Series("size", [0], dtype=pl.UInt64)
