"""The builder of the whole pipeline in one process."""

from typing import Any

from bytewax.testing import TestingSource

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.pipeline.builder import build_embedded
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from tests.support.playing import INSTRUMENTS
from tests.support.writer_batches import candle_batches


def test_batches_of_rows_are_announced_as_they_are_and_stored_as_columns(tables: Database) -> None:
    """Forming candles are announced although they are held back."""
    announced: list[AnyBatch] = []
    stored: list[Batch] = []
    process = ProcessContext(
        INSTRUMENTS, ("binance",), Counters(), is_live=True, is_replayable=False
    )
    idle: Any = TestingSource([])
    components = build_embedded(
        process, idle, tables, on_stored=stored.extend, before_store=announced.append
    )
    part = components.tables.build_part("", "binance", None)
    batches: list[AnyBatch] = list(candle_batches(0, 1))
    part.write_batch(batches)
    assert list(map(id, announced)) == list(map(id, batches))
    components.flush(60)
    # A batch for the trades, and one for the candles that the flush asked for.
    assert sum(batch.trades.height for batch in stored) == 2
    candles = [batch.tables["ohlcv"] for batch in stored if "ohlcv" in batch.tables]
    assert sum(rows.height for rows in candles) == 6
