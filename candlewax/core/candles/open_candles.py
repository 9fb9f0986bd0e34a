"""Open candles of an exchange, its watermark, and the inputs of certificates.

Pure functions over frames and state.
"""

from dataclasses import dataclass, field, replace
from typing import Final, cast

import polars as pl

from candlewax.core.candles.certificate import (
    FEED_ENDS,
    CertificateInputs,
    as_time_ranges,
    has_later_trade,
    merge_overlapping,
    overlaps,
)
from candlewax.core.candles.combine import (
    MINUTE,
    SECOND,
    SINGLE_QUERY_TRADES,
    STATE,
    WINDOW,
    all_timeframes,
    combine,
    merge,
    small_batch_candles,
)
from candlewax.core.candles.late_trades import count_out_of_order, late_trade_counts
from candlewax.core.gaps.gap_state import NO_GAPS, OUTAGES, GapState
from candlewax.core.schema import PLAIN, empty

WATERMARK_DELAY_US: Final = SECOND
"""Distance of the watermark behind the latest trade, in microseconds."""

ALLOWED_LATENESS_US: Final = 900 * SECOND
"""Time that a closed candle stays in memory, in microseconds."""

OUTAGE_RETENTION_US: Final = 2 * 86_400 * SECOND
"""Time that an outage stays in memory, in microseconds: longer than any open candle."""


@dataclass(frozen=True)
class OpenCandles:
    """Candles of one exchange that can still change, and its watermark.

    `candles`: STATE, one row a window. `watermark`: microseconds since 1970; a candle is closed if
    its window ended by then. `outages`: OUTAGES of the last two days, sorted and without overlaps.
    `feed_ends`: FEED_ENDS, until a later trade of the symbol comes.
    """

    candles: pl.DataFrame
    watermark: int = 0
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    feed_ends: pl.DataFrame = field(default_factory=lambda: empty(FEED_ENDS))

    def certificate_inputs(self, gap_state: GapState) -> CertificateInputs:
        """Return the inputs of the certificates of these candles."""
        return CertificateInputs(gap_state, self.outages, self.feed_ends)


EMPTY: Final = OpenCandles(empty(STATE))


def restore(
    minutes: pl.DataFrame, watermark: int, allowed_lateness_us: int = ALLOWED_LATENESS_US
) -> OpenCandles:
    """Return the open candles at a watermark.

    In: one-minute candles (STATE) of all trades that open candles can depend on, those of a symbol
    in the order of time.
    """
    candles = all_timeframes(minutes)
    return OpenCandles(
        candles.filter(pl.col("window_end") + allowed_lateness_us > watermark), watermark
    )


@dataclass(frozen=True)
class CandleUpdate:
    """Changes of the open candles by a batch of trades.

    `changed`: STATE, candles that trades changed or that closed, as they are now, each once.
    `stale_parts`: STATE, the batch's parts of candles no longer in memory; these candles must be
    recomputed from all their trades. `to_recertify`: STATE, other candles whose certificate may
    have changed. `spans`: TIME_RANGES in which certificates may have changed, also of candles no
    longer in memory; without a symbol where all symbols are meant. `out_of_order`: how many trades
    are older than one before them.
    """

    open_candles: OpenCandles
    changed: pl.DataFrame
    stale_parts: pl.DataFrame
    to_recertify: pl.DataFrame
    spans: pl.DataFrame
    out_of_order: int = 0


def apply_trades(
    open_candles: OpenCandles,
    trades: pl.DataFrame,
    watermark: int,
    allowed_lateness_us: int = ALLOWED_LATENESS_US,
    gap_state: GapState = NO_GAPS,
    *,
    is_first_batch: bool = False,
) -> CandleUpdate:
    """Apply new trades (TRADES, in the order received) and the gap state after them.

    `watermark` is that of the batch; the exchange's watermark never moves back. In the first batch
    of a process all certificates are new.
    """
    state = open_candles.candles
    new_watermark = max(watermark, open_candles.watermark)
    latest = open_candles.watermark + WATERMARK_DELAY_US
    out_of_order = count_out_of_order(trades, latest)
    late_counts = late_trade_counts(trades, latest, WATERMARK_DELAY_US) if out_of_order else None
    batch_candles, place = _locate_windows(trades, state, late_counts)
    is_open = place.is_not_null()
    places = place.drop_nulls()
    unplaced, placed = (
        (batch_candles.clear(), batch_candles)
        if is_open.all()
        else (batch_candles.filter(~is_open), batch_candles.filter(is_open))
    )
    new_candles, stale_parts = _split_too_old(
        unplaced, open_candles.watermark - allowed_lateness_us
    )
    merged = merge(state[places], placed)
    if new_candles.height:
        merged = pl.concat([merged, new_candles])
    is_untouched = pl.Series([True]).new_from_index(0, state.height).scatter(places, False)
    untouched = state.filter(is_untouched)
    # One chunk: a state of thousands of chunks gets slower with each batch.
    kept = pl.concat([untouched, merged], rechunk=True)
    changed = merged
    # Windows end on whole minutes: within a minute no candle closes, and none is dropped.
    if new_watermark // MINUTE > open_candles.watermark // MINUTE:
        end = pl.col("window_end")
        is_closing = (end > open_candles.watermark) & (end <= new_watermark)
        changed = pl.concat([merged, untouched.filter(is_closing)])
        untouched = untouched.filter(~is_closing)
        kept = kept.filter(end + allowed_lateness_us > new_watermark)
    open_candles, spans = _apply_gap_state(
        replace(open_candles, candles=kept, watermark=new_watermark), trades, gap_state
    )
    if not is_first_batch:
        untouched = untouched.filter(overlaps(untouched, spans)) if spans.height else state.clear()
    return CandleUpdate(open_candles, changed, stale_parts, untouched, spans, out_of_order)


def _apply_gap_state(
    open_candles: OpenCandles, trades: pl.DataFrame, gap_state: GapState
) -> tuple[OpenCandles, pl.DataFrame]:
    """Return the open candles with the new gap state, and the TIME_RANGES that it changes."""
    spans = gap_state.changed_ranges
    if gap_state.outages.height:
        outages = merge_overlapping(pl.concat([open_candles.outages, gap_state.outages]))
        recent = outages.filter(pl.col("ended") > open_candles.watermark - OUTAGE_RETENTION_US)
        open_candles = replace(open_candles, outages=recent)
        spans = pl.concat([spans, as_time_ranges(gap_state.outages)])
    if open_candles.feed_ends.height:
        is_resumed = has_later_trade(open_candles.feed_ends, trades)
        if is_resumed.any():
            resumed = open_candles.feed_ends.filter(is_resumed)
            open_candles = replace(
                open_candles, feed_ends=open_candles.feed_ends.filter(~is_resumed)
            )
            last = pl.col("window_end") - 1
            windows = resumed.select(
                "symbol", before=pl.col("window_start").cast(pl.Int64), after=last
            )
            spans = pl.concat([spans, windows])
    return open_candles, spans


def mark_feed_end(update: CandleUpdate, watermark: int) -> OpenCandles:
    """Return the open candles, with a feed end in each candle that an update closed.

    Only candles that closed after `watermark` count.
    """
    open_candles = update.open_candles
    end = pl.col("window_end")
    closed = update.changed.filter((end > watermark) & (end <= open_candles.watermark))
    feed_ends = closed.select(pl.col(name).cast(kind) for name, kind in FEED_ENDS.items())
    return replace(open_candles, feed_ends=pl.concat([open_candles.feed_ends, feed_ends]))


_STATE_PLACES: Final = (WINDOW.alias("key"), pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))


def _locate_windows(
    trades: pl.DataFrame, state: pl.DataFrame, late_counts: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.Series]:
    """Return candles (STATE) of the trades, and the row of each in the state, or null.

    `late_counts`: revisions by `key`, or None.
    """
    if trades.height < SINGLE_QUERY_TRADES:
        batch_candles = small_batch_candles(trades)
    else:
        batch_candles = all_timeframes(combine(trades)).lazy().with_columns(key=WINDOW)
    if late_counts is not None:
        without_revision = batch_candles.drop("revision").join(
            late_counts.lazy(), "key", "left", maintain_order="left"
        )
        batch_candles = without_revision.with_columns(pl.col("revision").fill_null(0))
    located = (
        batch_candles.join(
            state.lazy().select(_STATE_PLACES), on="key", how="left", maintain_order="left"
        )
        .select(*STATE, "place")
        .collect(optimizations=PLAIN)
    )
    return located, located.drop_in_place("place")


def _split_too_old(candles: pl.DataFrame, oldest_us: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split candles (STATE) into those to open and those whose windows are too old."""
    if candles.is_empty() or candles["window_end"].min() > oldest_us:  # type: ignore[operator]
        return candles, candles.clear()
    is_too_old = pl.col("window_end") <= oldest_us
    return candles.filter(~is_too_old), candles.filter(is_too_old)


def batch_watermark(trades: pl.DataFrame, delay_us: int = WATERMARK_DELAY_US) -> int:
    """Return the watermark of a batch of trades (TRADES), in microseconds; 0 without trades."""
    latest = trades["timestamp"].cast(pl.Int64).max()
    return max(0, latest - delay_us) if isinstance(latest, int) else 0


def count_late(trades: pl.DataFrame, before: int, now: int) -> int:
    """Count the late trades of a batch that moved the watermark from `before` to `now`."""
    oldest = cast(int, trades["timestamp"].to_physical().min())
    # Most often the oldest trade is in time, so the others need no check.
    if (oldest // MINUTE + 1) * MINUTE > now:
        return 0
    time = pl.col("timestamp").cast(pl.Int64)
    latest = time.cum_max().clip(lower_bound=before + WATERMARK_DELAY_US)
    closed_by = latest - WATERMARK_DELAY_US
    return int(trades.select(((time // MINUTE + 1) * MINUTE <= closed_by).sum()).item())
