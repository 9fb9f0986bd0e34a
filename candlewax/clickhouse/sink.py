"""The tables as a sink."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
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
from candlewax.core.frames import Feed, Unread
from candlewax.runtime import metrics
from candlewax.runtime.counters import Tally
from candlewax.runtime.errors import tells
from candlewax.runtime.metrics import DELAYS

_RECEIVED: Final = Histogram(
    "candlewax_exchange_to_received_seconds",
    "From a trade at the exchange until it was received, of the last trade of each batch.",
    ["exchange"],
    buckets=DELAYS,
)


@tells
class _Part(StatefulSinkPartition[Batch, None]):
    def __init__(
        self, writer: Writer, forward: Callable[[Batch], None], on_close: Callable[[], None]
    ) -> None:
        self._writer = writer
        self._forward = forward
        self._on_close = on_close

    def write_batch(self, values: list[Batch]) -> None:
        for batch in values:
            _hand_over(batch, self._forward, self._writer)

    def snapshot(self) -> None:
        # Also what went first, by whatever worker of this process.
        self._writer.flush()
        metrics.committed()

    def close(self) -> None:
        self._on_close()


def _hand_over(batch: Batch, forward: Callable[[Batch], None], writer: Writer) -> None:
    if not (batch.tables or batch.doubt):
        # All it had went first.
        return
    observe(batch)
    forward(batch)
    writer.put(batch)


@tells
class TradesFirst:
    """Hands frames, trades and what belongs to them to the writer, and gives what candles
    are made of: a core stores the ones while another makes the others.

    Only for a pipeline that is one process: there the writer of the sink is the same, so
    that it stores the trades before their candles, and a snapshot covers both.
    """

    def __init__(
        self,
        writer: Writer,
        begun: Callable[[str], bool],
        forward: Callable[[Batch], None] = lambda _: None,
    ) -> None:
        """`begun` tells of an exchange whether its candles have begun with what is stored:
        what is stored earlier would be taken for a part of that. `forward` is called with
        each batch before it is stored.
        """
        self._writer = writer
        self._begun = begun
        self._forward = forward

    def __call__(self, batch: Batch) -> Batch:
        if not self._begun(batch.exchange):
            return batch
        _hand_over(Batch(batch.exchange, batch.tables, batch.trades), self._forward, self._writer)
        return replace(batch, tables={})


@tells
class Tables(FixedPartitionedSink[Batch, None]):
    """Stores batches in their tables.

    Unit of parallelism: one partition for each exchange; all of a process share
    one writer. Delivery: what a snapshot covers is durable, and the rows of an
    unfinished epoch may come again. Every table takes the same row twice without
    harm, so its content is as if each had come once.
    """

    def __init__(
        self,
        exchanges: Iterable[str],
        writer: Writer,
        on_end: Callable[[], None] = lambda: None,
        forward: Callable[[Batch], None] = lambda _: None,
    ) -> None:
        """`on_end` is called when the last partition of this process closes; `forward`
        with each batch before it is stored.
        """
        self._exchanges = sorted(exchanges)
        self._writer = writer
        self._forward = forward
        self._on_end = on_end
        self._open = 0
        self._lock = threading.Lock()

    def list_parts(self) -> list[str]:
        return self._exchanges

    def part_fn(self, item_key: str) -> int:
        return self._exchanges.index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Part:
        with self._lock:
            self._open += 1
        return _Part(self._writer, self._forward, self._closed)

    def _closed(self) -> None:
        with self._lock:
            self._open -= 1
            last = not self._open
        if last:
            self._on_end()


class _Counting(StatelessSinkPartition[Feed]):
    def __init__(self, tally: Tally, on_end: Callable[[], None]) -> None:
        self._tally = tally
        self._on_end = on_end

    def write_batch(self, items: list[Feed]) -> None:
        for item in items:
            if isinstance(item, Unread):
                self._tally.add(item.letters.height, "dead_letters", "")
            else:
                self._tally.add(item.frames.height, "frames", item.exchange)

    def close(self) -> None:
        self._on_end()


class Counts(DynamicSink[Feed]):
    """Counts what a feed emits and keeps nothing.

    Unit of parallelism: any worker. Delivery: none.
    """

    def __init__(self, tally: Tally, on_end: Callable[[], None] = lambda: None) -> None:
        self._tally = tally
        self._on_end = on_end

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Counting:
        return _Counting(self._tally, self._on_end)


def observe(batch: Batch) -> None:
    """Look at a batch before it is stored."""
    trades, exchange = batch.trades, batch.exchange
    if "silver_trades" in batch.tables and trades.height:
        delay = trades["received_at"][-1] - trades["timestamp"][-1]
        # Clocks differ; none is to make a delay negative.
        _RECEIVED.labels(exchange).observe(max(0.0, delay.total_seconds()))
