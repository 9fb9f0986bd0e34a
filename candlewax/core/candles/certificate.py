"""Certificates of candles: whether trades are missing, and how that is known.

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
"""Certificate of a candle.

`missing`: missing numbers that may belong to it. `feed_down_ms`: milliseconds of its window without
any connection to the exchange.
"""

CANDLE_KEY: Final[Columns] = {"timeframe": pl.Int8, "symbol": pl.String, "window_start": TIME}
"""Key of a candle within an exchange."""

FEED_ENDS: Final[Columns] = {**CANDLE_KEY, "window_end": pl.Int64}
"""Closed candles in which the feed ended, as far as known."""


@dataclass(frozen=True)
class CertificateInputs:
    """Inputs of an exchange's candle certificates, other than the trades.

    `outages`: OUTAGES, sorted and without overlaps. `feed_ends`: FEED_ENDS.
    """

    gap_state: GapState = NO_GAPS
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    feed_ends: pl.DataFrame = field(default_factory=lambda: empty(FEED_ENDS))


@dataclass(frozen=True)
class Recertification:
    """Stored candles whose certificates may be wrong now, given new `inputs`.

    They are the candles in `spans` (TIME_RANGES) whose windows ended by `until_us`, microseconds
    since 1970. For the first batch of a process they include all candles stored as incomplete.
    """

    inputs: CertificateInputs
    until_us: int
    spans: pl.DataFrame = field(default_factory=lambda: empty(TIME_RANGES))
    is_first_batch: bool = False


_FORMING: Final = pl.lit(FORMING)
_ZERO: Final = pl.lit(0, pl.UInt64)


def certificate_columns(
    candles: pl.DataFrame, closed: pl.Expr | None, inputs: CertificateInputs
) -> list[pl.Expr]:
    """Return the columns of CERTIFICATE, to be selected from these candles.

    In: timeframe, symbol, window_start, window_end (microseconds since 1970), and `unnumbered`,
    which is 0 if the exchange numbers all trades of the candle. `closed`: which candles are closed;
    None if none is.
    """
    missing = (
        inputs.gap_state.missing_sums.overlapping(candles)
        if inputs.gap_state.missing_sums
        else None
    )
    missing_column = _ZERO if missing is None else pl.lit(missing)
    down_us = _down_us(candles, inputs.outages)
    status = _FORMING if closed is None else _status(candles, closed, inputs, missing)
    return [
        missing_column.alias("missing"),
        status.cast(pl.Int8).alias("status"),
        (_ZERO if down_us is None else pl.lit(down_us // 1000)).alias("feed_down_ms"),
    ]


def _status(
    candles: pl.DataFrame, closed: pl.Expr, inputs: CertificateInputs, missing: pl.Series | None
) -> pl.Expr:
    is_at_feed_edge = _find_feed_edges(candles, inputs.gap_state, inputs.feed_ends)
    contradictions = inputs.gap_state.contradiction_sums
    contradiction_counts = contradictions.overlapping(candles) if contradictions else None
    unsubscribed = inputs.gap_state.unsubscribed_ranges
    status = pl.lit(COMPLETE)
    if unsubscribed.height:
        status = pl.when(pl.lit(overlaps(candles, unsubscribed))).then(PARTIAL).otherwise(status)
    if is_at_feed_edge is not None:
        status = pl.when(pl.lit(is_at_feed_edge)).then(PARTIAL).otherwise(status)
    if missing is not None:
        status = pl.when(pl.lit(missing) > 0).then(GAPS).otherwise(status)
    is_unverified = pl.col("unnumbered") > 0
    if contradiction_counts is not None:
        is_unverified |= pl.lit(contradiction_counts) > 0
    closed_status = pl.when(is_unverified).then(UNVERIFIED).otherwise(status)
    return pl.when(closed).then(closed_status).otherwise(FORMING)


def _contain_moments(candles: pl.DataFrame, moments: pl.DataFrame) -> pl.Series | None:
    """Return which candles contain MOMENTS of their symbol (Boolean); None without moments."""
    if moments.is_empty():
        return None
    return overlaps(candles, moments.select("symbol", before="time", after="time"))


def missing_counts(candles: pl.DataFrame, gap_state: GapState) -> pl.Series:
    """Count the missing numbers that may belong to each candle (UInt64).

    In: symbol, window_start, window_end.
    """
    counts = gap_state.missing_sums.overlapping(candles) if gap_state.missing_sums else None
    return _NO_MISSING.new_from_index(0, candles.height) if counts is None else counts


_NO_MISSING: Final = pl.Series([0], dtype=pl.UInt64)


def overlaps(candles: pl.DataFrame, spans: pl.DataFrame) -> pl.Series:
    """Return which candles overlap spans (TIME_RANGES) of their symbol (Boolean).

    In: symbol, window_start, window_end. A span without a symbol is one of all symbols.
    """
    of_symbols = spans.filter(pl.col("symbol").is_not_null())
    weight = pl.lit(1, pl.UInt64)
    counts = (
        IntervalSums.build(of_symbols, weight).overlapping(candles) if of_symbols.height else None
    )
    is_overlapped = _NO_OVERLAP.new_from_index(0, candles.height) if counts is None else counts > 0
    of_all = spans.filter(pl.col("symbol").is_null())
    down_us = _down_us(candles, of_all.select(began="before", ended=pl.col("after") + 1))
    return is_overlapped if down_us is None else is_overlapped | (down_us > 0)


_NO_OVERLAP: Final = pl.Series([False])


def merge_overlapping(outages: pl.DataFrame) -> pl.DataFrame:
    """Return the same times (OUTAGES), sorted and without overlaps."""
    if outages.height < 2:
        return outages
    began = pl.max_horizontal("began", pl.col("ended").cum_max().shift(1))
    return outages.sort("began").with_columns(began=began).filter(pl.col("ended") > pl.col("began"))


def as_time_ranges(outages: pl.DataFrame) -> pl.DataFrame:
    """Return OUTAGES as TIME_RANGES of all symbols."""
    return outages.select(
        symbol=pl.lit(None, pl.String), before="began", after=pl.col("ended") - 1
    ).filter(pl.col("before") <= pl.col("after"))


def incomplete_time_ranges(gap_state: GapState) -> pl.DataFrame:
    """Return TIME_RANGES of all missing ranges, contradictions and market outages.

    The first trade of each symbol whose feed began after trade 1 is one, too.
    """
    late_begins = gap_state.first_seen.filter(pl.col("sequence") > 1)
    return pl.concat(
        [
            gap_state.missing_ranges.select(*TIME_RANGES),
            gap_state.unsubscribed_ranges,
            *(
                moments.select("symbol", before="time", after="time")
                for moments in (late_begins, gap_state.contradicted_moments)
            ),
        ]
    )


def has_later_trade(feed_ends: pl.DataFrame, trades: pl.DataFrame) -> pl.Series:
    """Return for which candles (FEED_ENDS) a later trade of their symbol came (Boolean).

    The number of that trade tells what was missed in between.
    """
    latest = trades.group_by(pl.col("symbol").cast(pl.String)).agg(pl.col("timestamp").max())
    joined = feed_ends.join(latest, on="symbol", how="left", maintain_order="left")
    is_later = pl.col("timestamp").cast(pl.Int64) >= pl.col("window_end")
    return joined.select(is_later.fill_null(False).alias("is_later")).to_series()


_WINDOW_START_US: Final = pl.col("window_start").cast(pl.Int64)


def _extent(candles: pl.DataFrame) -> tuple[int, int]:
    """Return the start of the first window and the end of the last one."""
    if candles.is_empty():
        return 0, 0
    begin, end = candles["window_start"].to_physical().min(), candles["window_end"].max()
    return begin, end  # type: ignore[return-value]  # of integers


def _down_us(candles: pl.DataFrame, outages: pl.DataFrame) -> pl.Series | None:
    """Return the microseconds of each window without a connection; None if no window has any."""
    if outages.is_empty():
        return None
    begin, end = _extent(candles)
    overlapping = merge_overlapping(
        outages.filter((pl.col("began") < end) & (pl.col("ended") > begin))
    )
    if overlapping.is_empty():
        return None
    # An outage without duration stands first, so that every time has one before it.
    began = pl.concat([pl.Series([begin]), overlapping["began"]])
    ended = pl.concat([pl.Series([begin]), overlapping["ended"]])
    total_us = (ended - began).cum_sum()

    def down_before_us(time: pl.Series) -> pl.Series:
        last = (overlapping["began"].search_sorted(time, side="right")).cast(pl.Int64)
        return total_us.gather(last) - (ended.gather(last) - time).clip(lower_bound=0)

    window_starts, window_ends = candles.select(a=_WINDOW_START_US, b="window_end").get_columns()
    return (down_before_us(window_ends) - down_before_us(window_starts)).cast(pl.UInt64)


def _find_feed_edges(
    candles: pl.DataFrame, gap_state: GapState, feed_ends: pl.DataFrame
) -> pl.Series | None:
    """Return in which candles the feed began or ended (Boolean); None if in no candle."""
    begin, end = _extent(candles)
    begins_inside = gap_state.first_seen.clear()
    if gap_state.latest_begin >= begin:
        time = pl.col("time")
        inside = (pl.col("sequence") > 1) & (time >= begin) & (time < end)
        begins_inside = gap_state.first_seen.filter(inside)
    if begins_inside.is_empty() and feed_ends.is_empty():
        return None
    has_begin = _contain_moments(candles, begins_inside.select("symbol", "time"))
    if feed_ends.is_empty():
        return has_begin
    keys = candles.select("timeframe", "window_start", pl.col("symbol").cast(pl.String))
    has_end = keys.join(
        feed_ends.select(*CANDLE_KEY, ended=True),
        on=list(CANDLE_KEY),
        how="left",
        maintain_order="left",
    )["ended"].fill_null(False)
    return has_end if has_begin is None else has_end | has_begin
