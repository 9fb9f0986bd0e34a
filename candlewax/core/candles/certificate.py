"""The certificate of a candle: whether any of its trades is missing, and how that is
known.

Pure functions over frames.
"""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.core.gaps.gap_state import NO_GAPS, OUTAGES, TIME_RANGES, GapState
from candlewax.core.gaps.interval_sums import IntervalSums
from candlewax.core.schema import TIME, Columns, empty

FORMING, COMPLETE, GAPS, PARTIAL, UNVERIFIED = 1, 2, 3, 4, 5
"""The values of `status` in `ohlcv`."""

CERTIFICATE: Final[Columns] = {
    "missing": pl.UInt64,
    "status": pl.Int8,
    "feed_down_ms": pl.UInt64,
}
"""What a candle's certificate says. `missing`: how many numbers are known to be missing
that may belong to it. `feed_down_ms`: milliseconds of its window without any connection
to the exchange."""

NAMES: Final[Columns] = {"timeframe": pl.Int8, "symbol": pl.String, "window_start": TIME}
"""Which candle it is, of an exchange's."""

ENDED: Final[Columns] = {**NAMES, "window_end": pl.Int64}
"""Closed candles in which the feed ended, as far as is known."""


@dataclass(frozen=True)
class CertificateInputs:
    """What the certificates of an exchange's candles follow from, besides their trades.

    `known`: its unseen trades. `outages`: OUTAGES, apart from each other and in order.
    `ended`: ENDED.
    """

    known: GapState = NO_GAPS
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    ended: pl.DataFrame = field(default_factory=lambda: empty(ENDED))


@dataclass(frozen=True)
class Recertification:
    """Stored candles whose certificates may be wrong now, as `evidence` says otherwise: of
    those whose windows ended by `until`, microseconds since 1970, the ones in `spans`
    (TIME_RANGES). To one who `begins`, those that are said to be incomplete are doubtful too.
    """

    evidence: CertificateInputs
    until: int
    spans: pl.DataFrame = field(default_factory=lambda: empty(TIME_RANGES))
    begins: bool = False


_FORMING: Final = pl.lit(FORMING)
_ZERO: Final = pl.lit(0, pl.UInt64)


def certificates(
    candles: pl.DataFrame, closed: pl.Expr | None, evidence: CertificateInputs
) -> list[pl.Expr]:
    """The columns of CERTIFICATE of these candles, to be selected from them.

    In: timeframe, symbol, window_start, window_end (microseconds since 1970) and
    `unnumbered`, which is 0 where the exchange numbers all trades of a candle; `closed`
    tells which candles are, None that none is.
    """
    numbers = (
        evidence.known.missing_sums.overlapping(candles) if evidence.known.missing_sums else None
    )
    missing = _ZERO if numbers is None else pl.lit(numbers)
    down = _down(candles, evidence.outages)
    status = _FORMING if closed is None else _status(candles, closed, evidence, numbers)
    return [
        missing.alias("missing"),
        status.cast(pl.Int8).alias("status"),
        (_ZERO if down is None else pl.lit(down // 1000)).alias("feed_down_ms"),
    ]


def _status(
    candles: pl.DataFrame, closed: pl.Expr, evidence: CertificateInputs, missing: pl.Series | None
) -> pl.Expr:
    cut = _cut_off(candles, evidence.known, evidence.ended)
    contradictions = evidence.known.contradiction_sums
    contradicted = contradictions.overlapping(candles) if contradictions else None
    unsubscribed = evidence.known.unsubscribed_ranges
    proven = pl.lit(COMPLETE)
    if unsubscribed.height:
        proven = pl.when(pl.lit(overlaps(candles, unsubscribed))).then(PARTIAL).otherwise(proven)
    if cut is not None:
        proven = pl.when(pl.lit(cut)).then(PARTIAL).otherwise(proven)
    if missing is not None:
        proven = pl.when(pl.lit(missing) > 0).then(GAPS).otherwise(proven)
    nothing_proven = pl.col("unnumbered") > 0
    if contradicted is not None:
        nothing_proven |= pl.lit(contradicted) > 0
    numbered = pl.when(nothing_proven).then(UNVERIFIED).otherwise(proven)
    return pl.when(closed).then(numbered).otherwise(FORMING)


def _hold_any(candles: pl.DataFrame, moments: pl.DataFrame) -> pl.Series | None:
    """Return which candles hold any of their symbol's MOMENTS (Boolean); None if there are none."""
    if moments.is_empty():
        return None
    return overlaps(candles, moments.select("symbol", before="time", after="time"))


def missing(candles: pl.DataFrame, known: GapState) -> pl.Series:
    """How many missing numbers may belong to each candle (symbol, window_start,
    window_end) (UInt64).
    """
    found = known.missing_sums.overlapping(candles) if known.missing_sums else None
    return _NONE.new_from_index(0, candles.height) if found is None else found


_NONE: Final = pl.Series([0], dtype=pl.UInt64)


def overlaps(candles: pl.DataFrame, spans: pl.DataFrame) -> pl.Series:
    """Which candles (symbol, window_start, window_end) lie in spans (TIME_RANGES) of their
    symbol (Boolean); a span without a symbol is one of all symbols.
    """
    each = spans.filter(pl.col("symbol").is_not_null())
    one = pl.lit(1, pl.UInt64)
    count = IntervalSums.build(each, one).overlapping(candles) if each.height else None
    found = _NOWHERE.new_from_index(0, candles.height) if count is None else count > 0
    every = spans.filter(pl.col("symbol").is_null())
    down = _down(candles, every.select(began="before", ended=pl.col("after") + 1))
    return found if down is None else found | (down > 0)


_NOWHERE: Final = pl.Series([False])


def merge_overlapping(outages: pl.DataFrame) -> pl.DataFrame:
    """The same times (OUTAGES), apart from each other and in order."""
    if outages.height < 2:
        return outages
    began = pl.max_horizontal("began", pl.col("ended").cum_max().shift(1))
    return outages.sort("began").with_columns(began=began).filter(pl.col("ended") > pl.col("began"))


def as_time_ranges(outages: pl.DataFrame) -> pl.DataFrame:
    """The times of OUTAGES as TIME_RANGES of all symbols."""
    return outages.select(
        symbol=pl.lit(None, pl.String), before="began", after=pl.col("ended") - 1
    ).filter(pl.col("before") <= pl.col("after"))


def all_time_ranges(known: GapState) -> pl.DataFrame:
    """TIME_RANGES of all that is not as it should be: missing ranges, where symbols begin,
    contradictions, and where markets were not subscribed.
    """
    begins = known.first_seen.filter(pl.col("sequence") > 1)
    return pl.concat(
        [
            known.missing_ranges.select(*TIME_RANGES),
            known.unsubscribed_ranges,
            *(
                moments.select("symbol", before="time", after="time")
                for moments in (begins, known.contradicted_moments)
            ),
        ]
    )


def has_later_trade(ended: pl.DataFrame, trades: pl.DataFrame) -> pl.Series:
    """Of which candles (ENDED) trades of the same symbol came that are later (Boolean):
    what was missed between is known by their numbers.
    """
    latest = trades.group_by(pl.col("symbol").cast(pl.String)).agg(pl.col("timestamp").max())
    found = ended.join(latest, on="symbol", how="left", maintain_order="left")
    later = pl.col("timestamp").cast(pl.Int64) >= pl.col("window_end")
    return found.select(later.fill_null(False).alias("heard")).to_series()


_START: Final = pl.col("window_start").cast(pl.Int64)


def _extent(candles: pl.DataFrame) -> tuple[int, int]:
    """Where the first window starts and the last one ends."""
    if candles.is_empty():
        return 0, 0
    begin, end = candles["window_start"].to_physical().min(), candles["window_end"].max()
    return begin, end  # type: ignore[return-value]  # of integers


def _down(candles: pl.DataFrame, outages: pl.DataFrame) -> pl.Series | None:
    """How long each window was without a connection, in microseconds; None if no
    window was.
    """
    if outages.is_empty():
        return None
    begin, end = _extent(candles)
    near = merge_overlapping(outages.filter((pl.col("began") < end) & (pl.col("ended") > begin)))
    if near.is_empty():
        return None
    # Before them all stands one that took no time.
    began = pl.concat([pl.Series([begin]), near["began"]])
    ended = pl.concat([pl.Series([begin]), near["ended"]])
    took = (ended - began).cum_sum()

    def until(time: pl.Series) -> pl.Series:
        last = (near["began"].search_sorted(time, side="right")).cast(pl.Int64)
        return took.gather(last) - (ended.gather(last) - time).clip(lower_bound=0)

    start, stop = candles.select(a=_START, b="window_end").get_columns()
    return (until(stop) - until(start)).cast(pl.UInt64)


def _cut_off(candles: pl.DataFrame, known: GapState, ended: pl.DataFrame) -> pl.Series | None:
    """Which candles the feed began in, or ended in; None if no candle."""
    begin, end = _extent(candles)
    late = known.first_seen.clear()
    if known.latest_begin >= begin:
        time = pl.col("time")
        inside = (pl.col("sequence") > 1) & (time >= begin) & (time < end)
        late = known.first_seen.filter(inside)
    if late.is_empty() and ended.is_empty():
        return None
    began = _hold_any(candles, late.select("symbol", "time"))
    if ended.is_empty():
        return began
    names = candles.select("timeframe", "window_start", pl.col("symbol").cast(pl.String))
    found = names.join(
        ended.select(*NAMES, ended=True), on=list(NAMES), how="left", maintain_order="left"
    )["ended"].fill_null(False)
    return found if began is None else found | began
