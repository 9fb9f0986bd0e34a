"""Candles as rows of their tables."""

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import (
    CANDLE_KEY,
    CERTIFICATE,
    UNVERIFIED,
    CertificateInputs,
    certificate_columns,
    missing_counts,
)
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.candles.late_trades import MAX_REVISION
from candlewax.core.candles.open_candles import CandleUpdate
from candlewax.core.gaps.gap_state import GapState
from candlewax.core.schema import CANDLES, TIME, Columns, empty
from candlewax.core.shards import WHOLE, Shard, shard_columns

CLOSED, LATE, REPAIRED, RECOMPUTED = 1, 2, 3, 4
"""The values of `cause` in `ohlcv_revisions`: why a row of a closed candle was written.

The candle closed; late trades, or knowledge of missing ones, came; missing trades came; the candle
was recomputed from the stored trades.
"""

TRADE_CAUSE: Final = (
    pl.when(pl.col("revision") == 0)
    .then(CLOSED)
    .when(pl.col("repaired") == 0)
    .then(LATE)
    .otherwise(REPAIRED)
)
"""Cause of a candle that closed or that trades changed.

It follows from the content, so a repeated write of the same candle gives the same cause.
"""
RECOMPUTE_CAUSE: Final = pl.when(pl.col("revision") == 0).then(RECOMPUTED).otherwise(TRADE_CAUSE)
"""Cause of a candle recomputed from the stored trades."""


ROWS: Final[Columns] = {
    **CANDLES,
    "symbol": pl.String,
    "revision": pl.UInt16,
    **CERTIFICATE,
    "exchange": pl.String,
    "closed": pl.Boolean,
    "version": pl.UInt64,
}
"""Rows of `ohlcv`."""

_UNCHANGED: Final = [name for name in CANDLES if name != "revision"]


def candle_rows(
    exchange: str,
    candles: pl.DataFrame,
    watermark: int,
    inputs: CertificateInputs,
    cause: pl.Expr = TRADE_CAUSE,
) -> pl.DataFrame:
    """Return rows of `ohlcv` of candles (STATE) at a watermark.

    `cause` is that of the closed ones. `version` grows with each trade of a candle, and once more
    when it closes.
    """
    closed = pl.col("window_end") <= watermark
    first_end = candles["window_end"].min()
    any_closed = isinstance(first_end, int) and first_end <= watermark
    return candles.select(
        *_UNCHANGED,
        pl.col("revision").clip(upper_bound=MAX_REVISION).cast(pl.UInt16),
        *certificate_columns(candles, closed if any_closed else None, inputs),
        exchange=pl.lit(exchange),
        closed=closed,
        version=2 * pl.col("trade_count") + closed.cast(pl.UInt64),
        cause=cause.cast(pl.Int8),
    )


def changed_rows(
    exchange: str, update: CandleUpdate, gap_state: GapState, earlier_state: GapState | None
) -> pl.DataFrame:
    """Return rows of `ohlcv` of all candles that a batch changed.

    `gap_state` is the state after the batch, `earlier_state` the one before, or None if unknown.
    """
    open_candles = update.open_candles
    inputs = open_candles.certificate_inputs(gap_state)
    rows = candle_rows(exchange, update.changed, open_candles.watermark, inputs)
    if update.to_recertify.is_empty():
        return rows
    cause = RECOMPUTE_CAUSE
    if earlier_state:
        missing_before, missing_now = (
            missing_counts(update.to_recertify, state) for state in (earlier_state, gap_state)
        )
        cause = pl.when(pl.lit(missing_before) > pl.lit(missing_now)).then(REPAIRED).otherwise(LATE)
    reissued = candle_rows(exchange, update.to_recertify, open_candles.watermark, inputs, cause)
    return pl.concat([rows, reissued])


def recertified_rows(
    rows: pl.DataFrame, inputs: CertificateInputs, cause: int = LATE
) -> pl.DataFrame:
    """Return those stored rows of `ohlcv` whose certificate changed, with the new one.

    In: also `window_end`, microseconds since 1970. `cause` is REPAIRED for a candle with fewer
    missing trades.
    """
    numbered = rows.with_columns(unnumbered=(pl.col("status") == UNVERIFIED).cast(pl.UInt32))
    certificates = numbered.select(certificate_columns(numbered, pl.col("closed"), inputs))
    is_changed = pl.any_horizontal(pl.col("new_" + name) != pl.col(name) for name in CERTIFICATE)
    has_fewer_missing = pl.col("new_missing") < pl.col("missing")
    return (
        rows.hstack(certificates.rename("new_".__add__))
        .filter(is_changed)
        .with_columns(
            cause=pl.when(has_fewer_missing).then(REPAIRED).otherwise(cause).cast(pl.Int8)
        )
        .with_columns(pl.col("new_" + name).alias(name) for name in CERTIFICATE)
        .drop("window_end", *("new_" + name for name in CERTIFICATE))
    )


def watermark_rows(exchange: str, watermark: int, shard: Shard = WHOLE) -> pl.DataFrame:
    """Return the row of `watermarks` of a shard of an exchange."""
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=watermark)
    return pl.DataFrame(
        {"exchange": [exchange], "watermark": [time]},
        schema={"exchange": pl.String, "watermark": TIME},
    ).with_columns(*shard_columns(shard))


def window_keys(candles: pl.DataFrame) -> pl.DataFrame:
    """Return the keys (CANDLE_KEY) of candles (STATE)."""
    if candles.is_empty():
        return empty(CANDLE_KEY)
    return candles.select(*CANDLE_KEY).cast(CANDLE_KEY)  # type: ignore[arg-type]  # names to types


_LENGTH_US: Final = pl.col("timeframe").replace_strict(
    dict(TIMEFRAMES.values()), return_dtype=pl.Int64
)


def windows_ended_by(windows: pl.DataFrame, time_us: int) -> pl.DataFrame:
    """Return the windows (CANDLE_KEY) that ended by a time."""
    return windows.filter(pl.col("window_start").cast(pl.Int64) + _LENGTH_US <= time_us)
