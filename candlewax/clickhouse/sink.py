"""Bytewax sinks that store batches in ClickHouse, or count what a feed emits."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Final

from bytewax.outputs import (
    DynamicSink,
    FixedPartitionedSink,
    StatefulSinkPartition,
    StatelessSinkPartition,
)
from prometheus_client import Histogram

from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.core.frames import FrameBatch, SourceItem, UnreadableLines
from candlewax.core.rows.columns import batch_columns
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.runtime import metrics
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures
from candlewax.runtime.metrics import DELAYS

_RECEIVED: Final = Histogram(
    "candlewax_exchange_to_received_seconds",
    "Seconds from a trade's time at the exchange to its receipt, for the last trade of each batch.",
    ["exchange"],
    buckets=DELAYS,
)
_received_of: Final[Callable[[str], Histogram]] = cache(_RECEIVED.labels)
"""Histogram of an exchange; to look it up takes longer than to read a trade."""


@log_failures
class _SinkPartition(StatefulSinkPartition[AnyBatch, None]):
    def __init__(
        self,
        writer: Writer,
        forward: Callable[[Batch], None] | None,
        forward_rows: Callable[[RowBatch], None] | None,
        on_close: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._forward = forward
        self._forward_rows = forward_rows
        self._on_close = on_close

    def write_batch(self, values: list[AnyBatch]) -> None:
        for batch in values:
            if not isinstance(batch, RowBatch):
                _hand_over(batch, self._forward, self._writer)
            elif self._forward and not self._forward_rows:
                _hand_over(batch_columns([batch]), self._forward, self._writer)
            else:
                self._hand_over_rows(batch)

    def _hand_over_rows(self, batch: RowBatch) -> None:
        _observe_row_delay(batch)
        if self._forward_rows:
            self._forward_rows(batch)
        self._writer.put(batch)

    def snapshot(self) -> None:
        # This includes the batches that an EarlyTradeWriter of any worker handed over.
        self._writer.flush()
        metrics.mark_committed()

    def close(self) -> None:
        self._on_close()


def _hand_over(batch: Batch, forward: Callable[[Batch], None] | None, writer: Writer) -> None:
    if not (batch.tables or batch.recertify):
        # An EarlyTradeWriter has handed over everything in it.
        return
    observe_delay(batch)
    if forward:
        forward(batch)
    writer.put(batch)


@log_failures
class EarlyTradeWriter:
    """Step that hands the frames and trades of a batch to the writer before its candles.

    The writer's thread stores them while the worker computes the candles. It suits a pipeline of
    one process only: there the sink has the same writer. So the writer stores trades before their
    candles, and a snapshot covers both.
    """

    def __init__(
        self,
        writer: Writer,
        has_started: Callable[[Batch], bool],
        forward: Callable[[Batch], None] | None = None,
    ) -> None:
        """`has_started` returns True once the candles of a batch's shard are loaded from tables.

        Before that, a batch stored early would be loaded and then counted again. `forward` is
        called with each batch before the writer gets it.
        """
        self._writer = writer
        self._has_started = has_started
        self._forward = forward

    def __call__(self, batch: AnyBatch) -> AnyBatch:
        if isinstance(batch, RowBatch) or not self._has_started(batch):
            # The candles of a few rows are there before a thread would have woken.
            return batch
        early = Batch(batch.exchange, batch.tables, batch.trades, shard=batch.shard)
        _hand_over(early, self._forward, self._writer)
        return replace(batch, tables={})


@log_failures
class ClickHouseSink(FixedPartitionedSink[AnyBatch, None]):
    """Sink that stores batches in their tables.

    Unit of parallelism: one partition for each shard of an exchange; all partitions of a process
    share one writer. Delivery: rows that a snapshot covers are durable, rows of an unfinished epoch
    may be stored again. Each table drops repeated rows, so its content is that of exactly one
    delivery.
    """

    def __init__(
        self,
        keys: Iterable[str],
        writer: Writer,
        on_end: Callable[[], None] = lambda: None,
        forward: Callable[[Batch], None] | None = None,
        forward_rows: Callable[[RowBatch], None] | None = None,
        is_local: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`keys` are those of all processes; `is_local` selects those of this one.

        `on_end` is called when the last partition of this process closes.

        `forward` is called with each batch before the writer gets it, `forward_rows` with one of
        rows. Without `forward_rows` rows become columns if there is a `forward`.
        """
        self._keys = sorted(keys)
        self._is_local = is_local
        self._writer = writer
        self._forward = forward
        self._forward_rows = forward_rows
        self._on_end = on_end
        self._open_partitions = 0
        self._lock = threading.Lock()

    def list_parts(self) -> list[str]:
        return [key for key in self._keys if self._is_local(key)]

    def part_fn(self, item_key: str) -> int:
        return self._keys.index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _SinkPartition:
        with self._lock:
            self._open_partitions += 1
        forwards = self._forward, self._forward_rows
        return _SinkPartition(self._writer, *forwards, self._close_partition)

    def _close_partition(self) -> None:
        with self._lock:
            self._open_partitions -= 1
            is_last = not self._open_partitions
        if is_last:
            self._on_end()


class _CountingPartition(StatelessSinkPartition[SourceItem]):
    def __init__(self, counters: Counters, on_end: Callable[[], None]) -> None:
        self._counters = counters
        self._on_end = on_end

    def write_batch(self, items: list[SourceItem]) -> None:
        for item in items:
            if isinstance(item, UnreadableLines):
                self._counters.increment(item.dead_letters.height, "dead_letters", "")
            else:
                count = item.count if isinstance(item, FrameBatch) else item.frames.height
                self._counters.increment(count, "frames", item.exchange)

    def close(self) -> None:
        self._on_end()


class CountingSink(DynamicSink[SourceItem]):
    """Sink that counts frames and unreadable lines, and stores nothing.

    Unit of parallelism: a worker. Delivery: none.
    """

    def __init__(self, counters: Counters, on_end: Callable[[], None] = lambda: None) -> None:
        self._counters = counters
        self._on_end = on_end

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _CountingPartition:
        return _CountingPartition(self._counters, self._on_end)


def _observe_row_delay(batch: RowBatch) -> None:
    trades = batch.decoded.trades
    if batch.stores_trades and trades:
        last = trades[-1]
        delay_s = (last.received_at - last.timestamp) / 1e6
        _received_of(batch.exchange).observe(max(0.0, delay_s))


def observe_delay(batch: Batch) -> None:
    """Observe how long the last trade of a batch took from the exchange to its receipt."""
    trades, exchange = batch.trades, batch.exchange
    if "silver_trades" in batch.tables and trades.height:
        delay = trades["received_at"][-1] - trades["timestamp"][-1]
        # Clocks differ, so the difference may be negative.
        _received_of(exchange).observe(max(0.0, delay.total_seconds()))
