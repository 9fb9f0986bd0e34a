"""Sink of frames to the raw topics, verbatim, with one topic for each exchange."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from candlewax.core.batch import UNKNOWN_EXCHANGE, Batch
from candlewax.core.frames import FrameBatch, InvalidUtf8Frames
from candlewax.core.shards import WHOLE, Shard
from candlewax.kafka import topics
from candlewax.kafka.arrivals import DeliveryLatency
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.producer import ReliableProducer
from candlewax.kafka.raw_messages import KIND, RECV_NS, SEQ
from candlewax.runtime import metrics
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

Headers = list[tuple[str, str | bytes | None]]

_AHEAD_MS: Final = 1_800_000
"""Greatest lead of a message timestamp: brokers refuse messages further in the future."""


class RawFrameProducer:
    """Producer of frames to the raw topics."""

    def __init__(
        self,
        broker: KafkaClient,
        producer: ReliableProducer,
        counters: Counters,
        now: Callable[[], float] = time.time,
        kind: str = "",
        shard_of: Callable[[str, str], Shard | None] | None = None,
    ) -> None:
        """`kind` is the kind of data of all frames; if it is empty, messages lack its header.

        `shard_of` returns the shard of an exchange's connection, None for one of several shards;
        without it each exchange is one shard.
        """
        self._shard_of = shard_of
        self._kind: Headers = [(KIND, kind.encode())] if kind else []
        self._broker = broker
        self._producer = producer
        self._counters = counters
        self._now = now
        self._latency = DeliveryLatency(producer.count_undelivered, now)
        self._partitions: dict[str, int] = {}
        self._oldest_ms: dict[str, int] = {}

    def send(self, received: FrameBatch | InvalidUtf8Frames) -> None:
        """Hand frames over; `flush` returns when they are delivered."""
        frames = _contents(received)
        exchange, count = received.exchange, len(frames)
        topic, latest_ms = topics.raw(exchange), int(self._now() * 1000)
        oldest_ns = min(frame[0] for frame in frames)
        self._extend_retention(topic, oldest_ns // 1_000_000, latest_ms)
        for recv_ns, connection, seq, value in frames:
            timestamp_ms = min(recv_ns // 1_000_000, latest_ms + _AHEAD_MS)
            headers: Headers = [
                (RECV_NS, b"%d" % recv_ns),
                (SEQ, b"%d" % seq),
                *self._kind,
            ]
            shard = self._shard_of(exchange, connection) if self._shard_of else WHOLE
            partition = topics.raw_partition(connection, self._count(topic), shard)
            self._producer.send(topic, partition, value, connection, timestamp_ms, headers)
        self._latency.record_sent(exchange, count, oldest_ns / 1e9)
        self._producer.poll()
        self._counters.increment(count, "frames", exchange)

    def flush(self) -> None:
        """Return when all frames are delivered."""
        self._producer.flush()
        self._latency.observe_delivered()

    def _count(self, topic: str) -> int:
        """Return the number of partitions of a topic."""
        if topic not in self._partitions:
            count = self._producer.retry_while_unavailable(lambda: self._broker.partitions(topic))
            self._partitions[topic] = count
        return self._partitions[topic]

    def _extend_retention(self, topic: str, oldest_ms: int, now_ms: int) -> None:
        """Extend the topic's retention so that it keeps replayed frames as long as new ones.

        A broker counts the retention from a frame's time of receipt.
        """
        last_oldest_ms = self._oldest_ms.get(topic, now_ms)
        if oldest_ms < last_oldest_ms - topics.DAY_MS:
            self._oldest_ms[topic] = oldest_ms
            retention_ms = now_ms - oldest_ms + topics.RAW_RETENTION_MS
            self._producer.retry_while_unavailable(
                lambda: self._broker.extend_retention(topic, retention_ms)
            )


def _contents(received: FrameBatch | InvalidUtf8Frames) -> list[tuple[int, str, int, bytes]]:
    """Return recv_ns, connection, seq and bytes of each frame."""
    if isinstance(received, FrameBatch) and received.rows:
        return [(row.recv_ns, row.connection, row.seq, row.text.encode()) for row in received.rows]
    frames = received.frames
    values = (
        received.values
        if isinstance(received, InvalidUtf8Frames)
        else [frame.encode() for frame in frames["frame"]]
    )
    rows = frames.select("recv_ns", "connection", "seq").iter_rows()
    return [(*row, value) for row, value in zip(rows, values, strict=True)]


@log_failures
class _FramePartition(StatefulSinkPartition[FrameBatch | InvalidUtf8Frames, None]):
    def __init__(self, frames: RawFrameProducer, on_close: Callable[[], None]) -> None:
        self._frames = frames
        self._on_close = on_close

    def write_batch(self, values: list[FrameBatch | InvalidUtf8Frames]) -> None:
        for received in values:
            self._frames.send(received)

    def snapshot(self) -> None:
        self._frames.flush()
        metrics.mark_committed()

    def close(self) -> None:
        self._on_close()


@log_failures
class _FallbackPartition(StatefulSinkPartition[Any, None]):
    """Sink partition of batches without an exchange; opens the tables on first use."""

    def __init__(self, open_partition: Callable[[], StatefulSinkPartition[Any, None]]) -> None:
        self._open_partition = open_partition
        self._partition: StatefulSinkPartition[Any, None] | None = None

    def write_batch(self, values: list[Batch]) -> None:
        self._partition = self._partition or self._open_partition()
        self._partition.write_batch(values)

    def snapshot(self) -> None:
        if self._partition:
            self._partition.snapshot()


@log_failures
class RawTopicSink(FixedPartitionedSink[Any, None]):
    """Sink of frames to the raw topic of their exchange, and of other dead letters to the tables.

    Unit of parallelism: a shard of an exchange. Delivery: frames that a snapshot covers are
    delivered once, those of a connection in their order. After a restart, a feed that can repeat
    the frames of an unfinished epoch sends them again. While the broker is unavailable, frames wait
    in memory up to BUFFER_BYTES; then the feed waits.
    """

    def __init__(
        self,
        keys: Iterable[str],
        frames: RawFrameProducer,
        open_fallback: Callable[[], StatefulSinkPartition[Any, None]],
        on_end: Callable[[], None] = lambda: None,
        is_local: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`keys` are those of all processes; `is_local` selects those of this one.

        `open_fallback` opens the partition for dead letters without an exchange, when needed.

        `on_end` is called when a partition of an exchange closes.
        """
        self._keys = sorted(keys)
        self._is_local = is_local
        self._frames = frames
        self._open_fallback = open_fallback
        self._on_end = on_end

    def list_parts(self) -> list[str]:
        return [key for key in self._keys if self._is_local(key)]

    def part_fn(self, item_key: str) -> int:
        return self._keys.index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Any:  # noqa: ANN401
        if for_part == UNKNOWN_EXCHANGE:
            return _FallbackPartition(self._open_fallback)
        return _FramePartition(self._frames, self._on_end)
