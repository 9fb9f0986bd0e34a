"""Candles as rows of their tables."""

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import (
    CERTIFICATE,
    UNVERIFIED,
    CertificateInputs,
    certificates,
    missing,
)
from candlewax.core.candles.late_trades import MOST
from candlewax.core.candles.open_candles import CandleUpdate
from candlewax.core.gaps.gap_state import GapState
from candlewax.core.schema import CANDLES, TIME, Columns

CLOSED, LATE, REPAIRED, RECOMPUTED = 1, 2, 3, 4
"""The values of `cause` in `ohlcv_revisions`: why a row of a closed candle was written.
It closed; trades or news of missing ones came later; what had been missing came; it was
computed anew of what is stored."""

TRADE_CAUSE: Final = (
    pl.when(pl.col("revision") == 0)
    .then(CLOSED)
    .when(pl.col("repaired") == 0)
    .then(LATE)
    .otherwise(REPAIRED)
)
"""Why a candle is written that closed or that trades changed: told by what it holds, so
that the same candle written again gives the same reason."""
RECOMPUTE_CAUSE: Final = pl.when(pl.col("revision") == 0).then(RECOMPUTED).otherwise(TRADE_CAUSE)
"""The same of candles computed anew of what is stored."""


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

_AS_THEY_ARE: Final = [name for name in CANDLES if name != "revision"]


def candle_rows(
    exchange: str,
    candles: pl.DataFrame,
    watermark: int,
    evidence: CertificateInputs,
    cause: pl.Expr = TRADE_CAUSE,
) -> pl.DataFrame:
    """Rows of `ohlcv` of candles (STATE) as they are at a watermark, and the `cause` of
    those that are closed.

    `version` grows with each trade of a candle, and once more when it closes.
    """
    closed = pl.col("window_end") <= watermark
    least = candles["window_end"].min()
    some = isinstance(least, int) and least <= watermark
    return candles.select(
        *_AS_THEY_ARE,
        pl.col("revision").clip(upper_bound=MOST).cast(pl.UInt16),
        *certificates(candles, closed if some else None, evidence),
        exchange=pl.lit(exchange),
        closed=closed,
        version=2 * pl.col("trade_count") + closed.cast(pl.UInt64),
        cause=cause.cast(pl.Int8),
    )


def changed_rows(
    exchange: str, update: CandleUpdate, known: GapState, earlier: GapState | None
) -> pl.DataFrame:
    """Rows of `ohlcv` of all candles that a batch changed, by what is known with it and
    was known before, None if that is not known.
    """
    book = update.book
    evidence = book.certificate_inputs(known)
    rows = candle_rows(exchange, update.changed, book.watermark, evidence)
    if update.recertified.is_empty():
        return rows
    cause = RECOMPUTE_CAUSE
    if earlier:
        was, now = (missing(update.recertified, k) for k in (earlier, known))
        cause = pl.when(pl.lit(was) > pl.lit(now)).then(REPAIRED).otherwise(LATE)
    again = candle_rows(exchange, update.recertified, book.watermark, evidence, cause)
    return pl.concat([rows, again])


def recertified(rows: pl.DataFrame, evidence: CertificateInputs, cause: int = LATE) -> pl.DataFrame:
    """Those of stored rows of `ohlcv`, with `window_end` (microseconds since 1970), whose
    certificate is another now, with the one it is; the `cause` is REPAIRED where less is
    missing.
    """
    numbered = rows.with_columns(unnumbered=(pl.col("status") == UNVERIFIED).cast(pl.UInt32))
    now = numbered.select(certificates(numbered, pl.col("closed"), evidence))
    new = pl.any_horizontal(pl.col("new_" + name) != pl.col(name) for name in CERTIFICATE)
    mended = pl.col("new_missing") < pl.col("missing")
    return (
        rows.hstack(now.rename("new_".__add__))
        .filter(new)
        .with_columns(cause=pl.when(mended).then(REPAIRED).otherwise(cause).cast(pl.Int8))
        .with_columns(pl.col("new_" + name).alias(name) for name in CERTIFICATE)
        .drop("window_end", *("new_" + name for name in CERTIFICATE))
    )


def watermarks(exchange: str, watermark: int) -> pl.DataFrame:
    """The row of `watermarks` of an exchange."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=watermark)
    return pl.DataFrame(
        {"exchange": [exchange], "watermark": [at]},
        schema={"exchange": pl.String, "watermark": TIME},
    )
