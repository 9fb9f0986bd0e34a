"""The writer with an interval: few rows wait for others, and forming candles may be held back."""

import queue
from collections.abc import Sequence
from pathlib import Path

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.frame_journal import FrameJournal
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.runtime.counters import Counters
from tests.support.writer_batches import batch, candle_batches, count


def test_writer_with_an_interval_stores_few_rows_after_a_block_only_when_flushed(
    tables: Database, tmp_path: Path
) -> None:
    """Until then their frames are in the journal."""
    journal = FrameJournal(tmp_path)
    store = Writer(tables, Counters(), background=True, interval_s=3600, journal=journal)
    store.put(batch())
    store.flush()
    store.put(batch(1))
    store.put(batch(2))
    assert not store.is_backlogged()
    assert count(tables, "bronze_frames") == 1
    assert FrameJournal(tmp_path).read_left_over().height == 2
    store.flush()
    assert count(tables, "bronze_frames") == 3
    assert FrameJournal(tmp_path).read_left_over().height == 0
    store.put(batch(3))
    store.flush(60)
    assert count(tables, "bronze_frames") == 4
    store.close()


def test_writer_with_an_interval_stores_the_first_rows_after_a_pause_at_once(
    tables: Database,
) -> None:
    """Rows that follow share the next block."""
    stored: queue.Queue[Sequence[Batch]] = queue.Queue()
    store = Writer(tables, Counters(), background=True, interval_s=3600, after=stored.put)
    store.put(batch())
    blocks = [len(stored.get(timeout=60))]
    store.put(batch(1))
    store.put(batch(2))
    store.flush()
    store.close()
    assert [*blocks, *(len(stored.get()) for _ in range(stored.qsize()))] == [1, 2]


class CandleWriter:
    """A writer that is handed one trade after another, with the candles that it changes."""

    def __init__(self, tables: Database, *, holds_forming: bool) -> None:
        self._stored: queue.Queue[object] = queue.Queue()
        self.writer = Writer(
            tables, Counters(), background=True, interval_s=0.001, after=self._stored.put,
            holds_forming=holds_forming,
        )  # fmt: skip
        self._tables = tables
        self._batches = candle_batches(0, 1, 62, 63)

    def candles_after_storing(self) -> int:
        """Store the next trade and return the number of stored candles."""
        self.writer.put(next(self._batches))
        self._stored.get(timeout=60)
        return int(count(self._tables, "ohlcv FINAL"))


def test_writer_stores_forming_candles_with_each_block(tables: Database) -> None:
    """Anybody may read them: six of the first minute, then the next one-minute candle."""
    store = CandleWriter(tables, holds_forming=False)
    assert [store.candles_after_storing() for _ in range(3)] == [6, 6, 7]
    assert tables.query("SELECT sum(trade_count) FROM ohlcv_1m").item() == 3
    store.writer.close()


def test_writer_that_holds_forming_candles_stores_them_when_one_closes_or_when_flushed(
    tables: Database,
) -> None:
    """Other rows are stored without them."""
    held = CandleWriter(tables, holds_forming=True)
    store, candles_after_storing = held.writer, held.candles_after_storing
    assert [candles_after_storing(), candles_after_storing()] == [0, 0]
    # The second minute begins: all six of the first trade and the new one-minute candle.
    assert candles_after_storing() == 7
    assert tables.query("SELECT sum(trade_count) FROM ohlcv_1m").item() == 3
    assert candles_after_storing() == 7
    assert tables.query("SELECT sum(trade_count) FROM ohlcv_1m").item() == 3
    store.flush(60)
    assert tables.query("SELECT sum(trade_count) FROM ohlcv_1m").item() == 4
    store.flush(60)
    store.close()
