"""Certificates of bars: what the numbers of the day's trades prove.

A missing trade shifts all later bars of its day. So a bar is proven only if all trades from
midnight to its end are.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import COMPLETE, FORMING, GAPS, PARTIAL, UNVERIFIED

_NEVER: Final = 2**62
"""A time after all others, in microseconds since 1970."""


@dataclass(frozen=True)
class DayEvidence:
    """Facts about a market's day, other than its trades. Times in microseconds since 1970.

    `number_before`: number of the last trade of an earlier day, `number_after` of the first one of
    a later day; None without one. `is_closed`: the watermark has passed the day's end.
    `contradicted`: the earliest contradiction of the day, if any.
    """

    watermark: int
    is_closed: bool
    number_before: int | None = None
    number_after: int | None = None
    contradicted: int | None = None


def certify(bars: pl.DataFrame, trades: pl.DataFrame, evidence: DayEvidence) -> pl.DataFrame:
    """Return bars (BARS) with `closed`, `missing` and `status` instead of `is_full`.

    `trades` are all of the day (DAY_TRADES). A full bar closes once the watermark has passed its
    last trade, the last bar of the day once it has passed the day.
    """
    ends = pl.col("close_time").cast(pl.Int64)
    ranges = _missing_ranges(trades).sort("begin")
    begins, sums = ranges["begin"].to_list(), [0, *accumulate(ranges["missing"])]
    closes = bars["close_time"].cast(pl.Int64).to_list()
    missing = [sums[bisect_right(begins, close)] for close in closes]
    unverified_from = min(_first_unnumbered(trades), _or_never(evidence.contradicted))
    partial_from = _unproven_from(trades, evidence.number_before)
    is_last_unproven = _is_end_unproven(trades, evidence.number_after)
    is_last = pl.col("number") == bars["number"].max()
    is_partial = (ends >= partial_from) | (
        is_last & (pl.lit(is_last_unproven) | (~pl.col("is_full") & pl.lit(_lacks(evidence))))
    )
    closed = pl.lit(evidence.is_closed) | (pl.col("is_full") & (ends < evidence.watermark))
    status = (
        pl.when(~closed)
        .then(FORMING)
        .when(ends >= unverified_from)
        .then(UNVERIFIED)
        .when(pl.col("missing") > 0)
        .then(GAPS)
        .when(is_partial)
        .then(PARTIAL)
        .otherwise(COMPLETE)
    )
    counted = bars.with_columns(missing=pl.Series(missing, dtype=pl.UInt64))
    return counted.with_columns(closed=closed, status=status.cast(pl.Int8)).drop("is_full")


def _lacks(evidence: DayEvidence) -> bool:
    return evidence.number_after is None


def _or_never(time: int | None) -> int:
    return _NEVER if time is None else time


def _first_unnumbered(trades: pl.DataFrame) -> int:
    first = trades.filter((pl.col("sequence") == 0) & pl.col("counts"))["time"].min()
    return _or_never(first)  # type: ignore[arg-type]  # of integers


def _missing_ranges(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the missing ranges between two trades of the day: `begin`, the earlier of their times,
    and `missing`, how many numbers are missing.
    """
    numbered = trades.filter(pl.col("sequence") > 0).sort("numbering", "sequence")
    before = pl.col("sequence", "time", "numbering").shift(1).name.suffix("_before")
    apart = numbered.with_columns(before).filter(
        (pl.col("numbering") == pl.col("numbering_before"))
        & (pl.col("sequence") > pl.col("sequence_before") + 1)
    )
    return apart.select(
        pl.min_horizontal("time", "time_before").alias("begin"),
        (pl.col("sequence") - pl.col("sequence_before") - 1).alias("missing"),
    )


def _unproven_from(trades: pl.DataFrame, number_before: int | None) -> int:
    """Return the time from which on the numbers do not prove that the bars begin where they should.

    That is midnight if the day's first number does not follow the last one of an earlier day and
    is not 1, else the end of the day's first numbering if there is another one.
    """
    numbered = trades.filter(pl.col("sequence") > 0)
    if numbered.is_empty():
        return _NEVER
    runs = (
        numbered.group_by("numbering")
        .agg(pl.col("sequence").min(), pl.col("time").min(), pl.col("time").max().alias("end"))
        .sort("time")
    )
    first = int(runs["sequence"][0])
    if first != 1 and first - 1 != number_before:
        return -_NEVER
    return int(runs["end"][0]) if runs.height > 1 else _NEVER


def _is_end_unproven(trades: pl.DataFrame, number_after: int | None) -> bool:
    """Return True if the first number of a later day does not follow the last one of this day."""
    last = trades.filter(pl.col("sequence") > 0).sort("time", "sequence")["sequence"].last()
    return number_after is not None and last is not None and number_after != int(str(last)) + 1
