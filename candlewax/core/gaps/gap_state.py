"""What is known of the trades that were not seen: holes between the numbers that
were, the spans they may lie in, and the times no connection was alive.

Pure functions over frames.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import polars as pl

from candlewax.core.gaps.interval_sums import IntervalSums
from candlewax.core.schema import Columns, empty

MISSING_RANGES: Final[Columns] = {
    "symbol": pl.String,
    "first": pl.UInt64,
    "last": pl.UInt64,
    "before": pl.Int64,
    "after": pl.Int64,
}
"""Numbers not seen, from `first` to `last`, between two that were. The missing trades
happened between `before` and `after`, microseconds since 1970, both inclusive: the
times of the two neighbours, the earlier one first."""

TIME_RANGES: Final[Columns] = {"symbol": pl.String, "before": pl.Int64, "after": pl.Int64}
"""Spans of a symbol's time, both ends inclusive."""

FIRST_SEEN: Final[Columns] = {"symbol": pl.String, "sequence": pl.UInt64, "time": pl.Int64}
"""The lowest number seen of each numbered symbol, and when that trade happened."""

MOMENTS: Final[Columns] = {"symbol": pl.String, "time": pl.Int64}
"""Moments of a symbol's time, microseconds since 1970."""

OUTAGES: Final[Columns] = {"began": pl.Int64, "ended": pl.Int64}
"""Times without any connection to the exchange, microseconds since 1970."""


@dataclass(frozen=True)
class GapState:
    """What is known of an exchange's unseen trades once a batch is admitted.

    `holes`: all MISSING_RANGES there are. `begins`: FIRST_SEEN. `contradicted`: MOMENTS of trades
    of which two came under one number. `unsubscribed`: TIME_RANGES in which a market was not
    subscribed, and of which no later trade tells what was missed. `changed`: TIME_RANGES in which
    any of these are no longer what they were before this batch. `outages`: OUTAGES that
    ended before its trades, of which one may come again after a crash.
    """

    holes: pl.DataFrame = field(default_factory=lambda: empty(MISSING_RANGES))
    begins: pl.DataFrame = field(default_factory=lambda: empty(FIRST_SEEN))
    contradicted: pl.DataFrame = field(default_factory=lambda: empty(MOMENTS))
    unsubscribed: pl.DataFrame = field(default_factory=lambda: empty(TIME_RANGES))
    changed: pl.DataFrame = field(default_factory=lambda: empty(TIME_RANGES))
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))

    @cached_property
    def latest_begin(self) -> int:
        """When the last symbol began that did not begin with its first trade; before all
        times if none did.
        """
        late = self.begins.filter(pl.col("sequence") > 1)["time"].max()
        return late if isinstance(late, int) else -(2**63)

    @cached_property
    def sums(self) -> IntervalSums | None:
        """The holes, so that many windows are asked at once; None without any."""
        if self.holes.is_empty():
            return None
        return IntervalSums.build(self.holes, pl.col("last") - pl.col("first") + 1)

    @cached_property
    def contradictions(self) -> IntervalSums | None:
        """The contradicted moments, so that many windows are asked at once; None without any."""
        if self.contradicted.is_empty():
            return None
        spans = self.contradicted.select("symbol", before="time", after="time")
        return IntervalSums.build(spans, pl.lit(1, pl.UInt64))


NO_GAPS: Final = GapState()
