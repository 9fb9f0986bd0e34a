"""Missing trades of an exchange: missing ranges, the times they may lie in, and outages.

Pure functions over frames.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import polars as pl

from candlewax.core.gaps.interval_sums import IntervalSums
from candlewax.core.gaps.numberings import split_series
from candlewax.core.gaps.sequence_ranges import RangeChange, SequenceRanges
from candlewax.core.schema import Columns, empty

MISSING_RANGES: Final[Columns] = {
    "symbol": pl.String,
    "first": pl.UInt64,
    "last": pl.UInt64,
    "before": pl.Int64,
    "after": pl.Int64,
}
"""Missing ranges: `first` to `last`, between two numbers that were received.

The missing trades happened between `before` and `after`, microseconds since 1970, both inclusive:
the times of the two neighbours, the earlier one first.
"""

TIME_RANGES: Final[Columns] = {"symbol": pl.String, "before": pl.Int64, "after": pl.Int64}
"""Time ranges of a symbol, microseconds since 1970, both ends inclusive."""

FIRST_SEEN: Final[Columns] = {"symbol": pl.String, "sequence": pl.UInt64, "time": pl.Int64}
"""Lowest number received of each numbered symbol, and the time of that trade."""

MOMENTS: Final[Columns] = {"symbol": pl.String, "time": pl.Int64}
"""Moments of a symbol's time, microseconds since 1970."""

OUTAGES: Final[Columns] = {"began": pl.Int64, "ended": pl.Int64}
"""Times without any connection to the exchange, microseconds since 1970."""


@dataclass(frozen=True)
class GapState:
    """Missing trades of an exchange, as known once a batch is deduplicated.

    `missing_ranges`: all MISSING_RANGES. `first_seen`: FIRST_SEEN. `contradicted_moments`: MOMENTS
    of contradictions. `unsubscribed_ranges`: TIME_RANGES of market outages after which no later
    trade proves what was missed. `changed_ranges`: TIME_RANGES in which this batch changed any of
    these. `outages`: OUTAGES that ended before the batch's trades; after a crash an outage may be
    repeated.
    """

    missing_ranges: pl.DataFrame = field(default_factory=lambda: empty(MISSING_RANGES))
    first_seen: pl.DataFrame = field(default_factory=lambda: empty(FIRST_SEEN))
    contradicted_moments: pl.DataFrame = field(default_factory=lambda: empty(MOMENTS))
    unsubscribed_ranges: pl.DataFrame = field(default_factory=lambda: empty(TIME_RANGES))
    changed_ranges: pl.DataFrame = field(default_factory=lambda: empty(TIME_RANGES))
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))

    @cached_property
    def latest_begin(self) -> int:
        """Time of the latest first trade other than number 1; before all times if there is none."""
        latest = self.first_seen.filter(pl.col("sequence") > 1)["time"].max()
        return latest if isinstance(latest, int) else -(2**63)

    @cached_property
    def missing_sums(self) -> IntervalSums | None:
        """Sums of missing numbers for many windows at once; None if nothing is missing."""
        if self.missing_ranges.is_empty():
            return None
        return IntervalSums.build(self.missing_ranges, pl.col("last") - pl.col("first") + 1)

    @cached_property
    def contradiction_sums(self) -> IntervalSums | None:
        """Sums of contradicted moments for many windows at once; None without any."""
        if self.contradicted_moments.is_empty():
            return None
        spans = self.contradicted_moments.select("symbol", before="time", after="time")
        return IntervalSums.build(spans, pl.lit(1, pl.UInt64))


NO_GAPS: Final = GapState()


def find_changed_ranges(
    changes: Mapping[str, RangeChange], spans: Iterable[tuple[str, int, int]]
) -> pl.DataFrame:
    """Return TIME_RANGES in which missing ranges changed, and the given spans."""
    rows = set(spans) | {
        (split_series(name)[0], before, after)
        for name, change in changes.items()
        for before, after in (
            *((missing.before, missing.after) for missing in change.removed | change.added),
            *((time, time) for time in change.begin_times),
        )
    }
    return pl.DataFrame(sorted(rows), TIME_RANGES, orient="row")


UNPROVEN: Final = 2
"""A sequence number other than the first of its symbol."""


def first_seen_rows(
    ranges_by_series: Mapping[str, SequenceRanges], boundaries: Iterable[tuple[str, int]]
) -> list[tuple[str, int, int]]:
    """Return rows of FIRST_SEEN, with one for each side of a boundary between numberings.

    At a boundary trades may be missing, as where a feed begins.
    """
    unproven = [(symbol, UNPROVEN, time) for symbol, time in boundaries]
    lowest = [
        (split_series(name)[0], ranges.first[0], ranges.begin[0])
        for name, ranges in ranges_by_series.items()
        if ranges.first
    ]
    return lowest + unproven
