"""Measurement of Candlewax: the whole pipeline without a recovery store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from bytewax.inputs import Source
from bytewax.testing import TestingSource, run_main

from bench import frames
from bench.stopwatch import Stopwatch, Timing
from candlewax.clickhouse.client import Database, open_tables
from candlewax.core import instruments
from candlewax.core.frames import FrameBatch, SourceItem
from candlewax.core.schema import FRAMES
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from dataflows import ohlcv

ROOT = Path(__file__).parents[1]

_SIZES = """
SELECT table, sum(data_compressed_bytes) FROM system.parts
WHERE active AND database = 'market' GROUP BY table
"""


def run(log: Path, folder: Path) -> Timing:
    """Return the time from a frame log to stored candles."""
    warm = folder.parent / f"{folder.name}-warm.tsv"
    with log.open("rb") as file:
        warm.write_bytes(b"".join(line for line, _ in zip(file, range(20_000), strict=False)))
    _play(FrameLogSource([warm], Counters()), open_tables(folder, "warm"))
    return _play(FrameLogSource([log], Counters()), open_tables(folder, "market"))


def run_batches(count: int, size: int, folder: Path) -> Timing:
    """Return the time from batches of `size` frames to stored candles, for twenty symbols."""
    rows = [
        (recv_ns, frames.CONNECTION, seq, frame)
        for seq, (recv_ns, frame) in enumerate(frames.frames(count, 20))
    ]
    table = pl.DataFrame(rows, schema=FRAMES, orient="row")
    items: Sequence[Any] = [
        FrameBatch(frames.EXCHANGE, table[begin : begin + size]) for begin in range(0, count, size)
    ]
    _play(TestingSource(items[: max(1, 20_000 // size)]), open_tables(folder, "warm"))
    return _play(TestingSource(items), open_tables(folder, "market"))


def _play(feed: Source[SourceItem], database: Database) -> Timing:
    loaded_instruments = instruments.load(ROOT / "instruments.toml")
    components = builder.build_components(
        feed, loaded_instruments, loaded_instruments.exchanges, database, Counters()
    )
    stopwatch = Stopwatch()
    run_main(ohlcv.build(components))
    return stopwatch.timing()


def bytes_per_trade(folder: Path, count: int) -> dict[str, float]:
    """Return the bytes on disk per trade, by table."""
    database = open_tables(folder, "market")
    for table in ("bronze_frames", "silver_trades", "ohlcv"):
        database.client.command(f"OPTIMIZE TABLE {table} FINAL")
    sizes = database.query(_SIZES).rows()
    return {table: round(size / count, 2) for table, size in sorted(sizes)}
