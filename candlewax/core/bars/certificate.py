"""Certificates of bars: what the numbers of the day's trades prove.

A missing trade shifts all later bars of its day. So a bar is proven only if all trades from
midnight to its end are.
"""

from bisect import bisect_right
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

import polars as pl

from candlewax.core.bars.numbers import NEVER, Numbers
from candlewax.core.candles.certificate import COMPLETE, FORMING, GAPS, PARTIAL, UNVERIFIED


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


def certify(bars: pl.DataFrame, numbers: Numbers, evidence: DayEvidence) -> pl.DataFrame:
    """Return bars (BARS) with `closed`, `missing` and `status` instead of `is_full`.

    The last one is the last bar of the day; `numbers` are those of all its trades. A full bar
    closes once the watermark has passed its last trade, the last bar of the day once it has passed
    the day.
    """
    ends = pl.col("close_time").cast(pl.Int64)
    gaps = numbers.gaps()
    begins, sums = [gap.begin for gap in gaps], [0, *accumulate(gap.missing for gap in gaps)]
    closes = bars["close_time"].cast(pl.Int64).to_list()
    missing = [sums[bisect_right(begins, close)] for close in closes]
    is_last = pl.col("number") == bars["number"].max()
    lacks_later = pl.lit(evidence.number_after is None)
    is_partial = (ends >= numbers.unproven_from(evidence.number_before)) | (
        is_last & (pl.lit(_is_end_unproven(numbers, evidence)) | (~pl.col("is_full") & lacks_later))
    )
    closed = pl.lit(evidence.is_closed) | (pl.col("is_full") & (ends < evidence.watermark))
    status = (
        pl.when(~closed)
        .then(FORMING)
        .when(ends >= _unverified_from(numbers, evidence))
        .then(UNVERIFIED)
        .when(pl.col("missing") > 0)
        .then(GAPS)
        .when(is_partial)
        .then(PARTIAL)
        .otherwise(COMPLETE)
    )
    counted = bars.with_columns(missing=pl.Series(missing, dtype=pl.UInt64))
    return counted.with_columns(closed=closed, status=status.cast(pl.Int8)).drop("is_full")


def proof_until(time: int, numbers: Numbers, evidence: DayEvidence) -> str:
    """Return a digest of all that certificates of the bars up to a time follow from.

    Two proofs of the same bars are equal if `missing` and `status` of each are, as long as these
    are closed and others follow them in the day.
    """
    gaps = [gap for gap in numbers.gaps() if gap.begin <= time]
    begins = _unverified_from(numbers, evidence), numbers.unproven_from(evidence.number_before)
    facts = gaps, [begin if begin <= time else None for begin in begins]
    return blake2b(repr(facts).encode(), digest_size=8).hexdigest()


def _unverified_from(numbers: Numbers, evidence: DayEvidence) -> int:
    contradicted = NEVER if evidence.contradicted is None else evidence.contradicted
    return min(numbers.unnumbered_from, contradicted)


def _is_end_unproven(numbers: Numbers, evidence: DayEvidence) -> bool:
    """Return True if the first number of a later day does not follow the last one of this day."""
    after, last = evidence.number_after, numbers.last
    return after is not None and last is not None and after != last + 1
