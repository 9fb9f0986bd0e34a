"""Batches for the writer, and the number of rows that it stored."""

from datetime import timedelta
from typing import Any

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.core.candles.rows import watermark_rows
from tests.support.candles import DAY, table
from tests.support.decoding import read
from tests.support.verified_tables import TRADES


def batch(offset: int = 0) -> Batch:
    """A batch of one frame and its trade, shifted by `offset` days."""
    bronze = read("binance", "x", recv_ns=(DAY + offset * 86_400_000_000) * 1000).bronze
    names = {name: pl.lit("n").cast(pl.Categorical) for name in ("native_symbol", "base", "quote")}
    trades = table(TRADES[:1]).with_columns(
        pl.col("timestamp") + timedelta(days=offset),
        received_at="timestamp",
        source=pl.lit("c"),
        source_partition=pl.lit(0, pl.UInt32),
        **names,
    )
    return Batch(
        "x",
        {"watermarks": watermark_rows("x", 5), "silver_trades": trades, "bronze_frames": bronze},
    )


def count(tables: Database, table: str) -> Any:
    return tables.query(f"SELECT count() FROM {table}").item()
