"""Batches for the writer, and the number of rows that it stored."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.core.candles.rows import watermark_rows
from candlewax.core.rows.candle_batch import CandleState
from candlewax.core.rows.candles import OpenCandleRows
from candlewax.core.rows.frame_decoder import decode
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import RowBatch
from candlewax.exchanges import EXCHANGES
from tests.support.candles import DAY, table
from tests.support.decoding import INSTRUMENTS, read
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


def candle_batches(*seconds: int) -> Iterator[RowBatch]:
    """A batch for each trade of one market at these seconds, with the candles that it changes."""
    state = CandleState(OpenCandleRows(), None)
    for number, second in enumerate(seconds, start=1):
        ms = DAY // 1000 + second * 1000
        text = (
            f'{{"e":"trade","E":{ms},"s":"BTCUSDT","t":{number},"p":"100.5","q":"2","T":{ms},'
            '"m":true,"M":true}'
        )
        frame = Frame(ms * 1_000_000, "c0", number, text, "c0", 0, number)
        decoded = decode(EXCHANGES["binance"], [frame], INSTRUMENTS)
        yield state.add(RowBatch("binance", decoded))[0]


def count(tables: Database, table: str) -> Any:
    return tables.query(f"SELECT count() FROM {table}").item()
