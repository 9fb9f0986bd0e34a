"""Candles as rows of their tables."""

from datetime import UTC, datetime, timedelta

import polars as pl

from candlewax.schema import CANDLES, TIME


def ohlcv(exchange: str, candles: pl.DataFrame, watermark: int) -> pl.DataFrame:
    """Rows of `ohlcv` of candles (STATE) as they are at a watermark.

    `version` grows with each trade of a candle, and once more when it closes.
    """
    closed = pl.col("window_end") <= watermark
    return candles.select(
        *CANDLES,
        exchange=pl.lit(exchange),
        closed=closed,
        version=2 * pl.col("trade_count") + closed.cast(pl.UInt64),
    )


def watermarks(exchange: str, watermark: int) -> pl.DataFrame:
    """The row of `watermarks` of an exchange."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=watermark)
    return pl.DataFrame(
        {"exchange": [exchange], "watermark": [at]},
        schema={"exchange": pl.String, "watermark": TIME},
    )
