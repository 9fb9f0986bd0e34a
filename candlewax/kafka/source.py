"""Bytewax source that reads topics."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import (
    OFFSET_BEGINNING,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from candlewax.kafka.client import BrokerError, KafkaClient, log
from candlewax.kafka.messages import group_by_partition
from candlewax.runtime import metrics
from candlewax.runtime.emit_gate import EmitGate
from candlewax.runtime.errors import log_failures
from candlewax.runtime.poll_timer import ALWAYS, RETRY, PollTimer, worker_group

CHUNK_MESSAGES: Final = 10_000
"""Messages taken from the client at once. A message is several Python objects. In chunks they
are read and freed while they are in the processor's cache, before a garbage collection."""

BATCH_MESSAGES: Final = 10 * CHUNK_MESSAGES
"""Messages at which a worker stops taking more, over all its partitions. A step or an insert
costs mostly by the batch, and small parts of tables have to be merged soon."""

BATCH_BYTES: Final = 64 << 20
"""Bytes of messages at which a worker stops taking more."""

_PING_TIMEOUT_S: Final = 2.0
"""Seconds to wait for the broker's answer when a health check asks if it is available."""

_TOPIC_GONE: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the library's name
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)
"""Error codes of a topic or partition that is absent for longer than its creation takes to reach
all brokers."""


X = TypeVar("X")
Y = TypeVar("Y")


@dataclass(frozen=True)
class PartitionMessages:
    """Messages of one partition, in their order."""

    topic: str
    partition: int
    messages: Sequence[Message]


@dataclass(frozen=True)
class MessageCodec(Generic[X, Y]):
    """Conversion of messages to items: `read` converts a chunk of one partition, `join` several.

    The chunks that `join` gets follow each other in their partition.
    """

    read: Callable[[PartitionMessages], X]
    join: Callable[[Sequence[X]], Iterable[Y]]


class _SharedConsumer(Generic[X]):
    """Consumer for all partitions that a worker reads."""

    def __init__(
        self, broker: KafkaClient, group: str, read: Callable[[PartitionMessages], X]
    ) -> None:
        self._failure = ""
        self._read = read
        self.consumer = broker.consumer(group, self._on_error)
        # Chunks that were read, with the offset after each.
        self._queues: dict[tuple[str, int], list[tuple[X, int]]] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._first: list[Message] = []
        """Message that ended the wait for input, if it was not taken yet."""
        self.has_more = False
        """True if the client held a full chunk when it was last read."""

    def add(self, topic: str, partition: int, offset: int) -> None:
        self._queues[topic, partition] = []
        self._next[topic, partition] = offset
        self.consumer.incremental_assign([TopicPartition(topic, partition, offset)])

    def remove(self, topic: str, partition: int) -> None:
        self._queues.pop((topic, partition), None)
        self._next.pop((topic, partition), None)
        # Whoever reads the partition next begins at the offset of the last snapshot.
        place = topic, partition
        self._first = [one for one in self._first if (one.topic(), one.partition()) != place]
        if self._queues:
            self.consumer.incremental_unassign([TopicPartition(topic, partition)])
        else:
            self.consumer.close()

    def take(self, topic: str, partition: int) -> list[tuple[X, int]]:
        """Return the chunks read from a partition so far, each with the offset after it."""
        key = topic, partition
        if not self._queues[key]:
            self._fill()
        taken, self._queues[key] = self._queues[key], []
        if taken:
            self._next[key] = taken[-1][1]
        return taken

    def has_input(self, topic: str, partition: int) -> bool:
        """Return True if there may be messages of a partition to take."""
        return self.has_more or bool(self._first or self._queues[topic, partition])

    def await_input(self, timeout_s: float) -> None:
        """Return when the client holds a message, at the latest after a timeout."""
        message = self.consumer.poll(timeout_s)
        if self._failure:
            raise BrokerError(self._failure)
        if message is not None:
            self._first.append(message)

    def lag(self) -> Iterable[tuple[tuple[str, int], int]]:
        """Yield for each partition how many messages have not been taken yet."""
        # Another thread calls this, also while partitions close.
        for key, offset in list(self._next.items()):
            try:
                low, high = self.consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
            except (KafkaException, RuntimeError):
                continue
            if high >= 0:
                yield key, max(0, high - max(offset, low))

    def ping(self, timeout_s: float) -> None:
        """Return when a broker answers. Raises KafkaException after the timeout."""
        self.consumer.list_topics(next(iter(self._next))[0], timeout=timeout_s)

    def _fill(self) -> None:
        self.has_more, count, size = True, 0, 0
        while self.has_more and count < BATCH_MESSAGES and size < BATCH_BYTES:
            first, self._first = self._first, []
            messages = first + self.consumer.consume(CHUNK_MESSAGES - len(first), 0)
            if self._failure:
                raise BrokerError(self._failure)
            self.has_more = len(messages) == CHUNK_MESSAGES
            count, size = count + len(messages), size + sum(map(len, messages))
            for (topic, partition), own in group_by_partition(messages).items():
                chunk = self._read(PartitionMessages(topic, partition, own))
                self._queues[topic, partition].append((chunk, (own[-1].offset() or 0) + 1))

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _TOPIC_GONE:
            self._failure = error.str()
        else:
            log.warning("broker: %s", error.str())


@log_failures
class _SourcePartition(StatefulSourcePartition[Y, int], Generic[X, Y]):
    def __init__(
        self, consumer: _SharedConsumer[X], join: Callable[[Sequence[X]], Iterable[Y]],
        topic: str, partition: int, offset: int,
        should_stop: Callable[[], bool], may_emit: Callable[[], bool], max_wait: timedelta | None,
    ) -> None:  # fmt: skip
        self._consumer = consumer
        self._join = join
        self._topic = topic
        self._partition = partition
        self._next = self._durable = offset
        self._should_stop = should_stop
        self._may_emit = may_emit
        self._max_wait = max_wait
        self.poll_timer = PollTimer(
            worker_group(), lambda: consumer.has_input(topic, partition), consumer.await_input
        )
        consumer.add(topic, partition, offset)

    def next_batch(self) -> Iterable[Y]:
        if self._should_stop():
            raise StopIteration
        if not self.poll_timer.is_due():
            return []
        if not self._may_emit():
            self.poll_timer.schedule(RETRY)
            return []
        taken = self._consumer.take(self._topic, self._partition)
        if taken:
            self.poll_timer.mark_emitted()
        self.poll_timer.schedule(None if self._consumer.has_more else self._max_wait)
        if not taken:
            return []
        self._next = taken[-1][1]
        return self._join([chunk for chunk, _ in taken])

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> int:
        # Rows of the snapshot before this one are stored by now, so commit its offset.
        self._commit(self._durable)
        self._durable = self._next
        # A worker that still waits in a sink for rows to be stored does not get here.
        metrics.mark_committed()
        return self._next

    def close(self) -> None:
        self.poll_timer.close()
        self._commit(self._durable)
        self._consumer.remove(self._topic, self._partition)

    def _commit(self, offset: int) -> None:
        if offset < 0:
            return
        key = TopicPartition(self._topic, self._partition, offset)
        try:
            self._consumer.consumer.commit(offsets=[key], asynchronous=True)
        except KafkaException as error:
            log.warning("%s: the group's offset is not committed: %s", self._topic, error)


@log_failures
class KafkaSource(FixedPartitionedSource[Y, int], Generic[X, Y]):
    """Source of topics, read from the offsets of the last snapshot, else from their beginning.

    Unit of parallelism: a partition of a topic; those of one worker share a consumer. Delivery:
    at least once for the messages of an unfinished epoch, in the order of their partition. An
    offset that the broker no longer holds raises BrokerError. Offsets are committed to `group`
    for tools that show the consumer lag; the source does not read them.
    """

    def __init__(
        self,
        broker: KafkaClient,
        topics: Mapping[str, Iterable[int] | None],
        codec: MessageCodec[X, Y],
        group: str,
        should_stop: Callable[[], bool],
        emit_gate: EmitGate | None = None,
        max_wait: timedelta | None = None,
    ) -> None:
        """`topics` holds for each topic the partitions to read, or None for all of them.

        `codec` converts messages to items. The `emit_gate` holds partitions back while the writer
        is backlogged; `max_wait` is the time between two batches. Raises BrokerError if a topic
        is absent or no broker answers.
        """
        self._broker = broker
        self._codec = codec
        self._group = group
        self._should_stop = should_stop
        self._emit_gate = emit_gate or EmitGate()
        self._max_wait = max_wait
        self._parts = [
            f"{topic}:{partition}"
            for topic, own in topics.items()
            for partition in (range(broker.partitions(topic)) if own is None else own)
        ]
        self._consumers: dict[int, _SharedConsumer[X]] = {}

    def list_parts(self) -> list[str]:
        return self._parts

    def build_part(
        self, step_id: str, for_part: str, resume_state: int | None
    ) -> _SourcePartition[X, Y]:
        topic, _, partition = for_part.rpartition(":")
        worker = threading.get_ident()
        if worker not in self._consumers:
            self._consumers[worker] = _SharedConsumer(self._broker, self._group, self._codec.read)
        consumer, join = self._consumers[worker], self._codec.join
        offset = OFFSET_BEGINNING if resume_state is None else resume_state
        controls = self._should_stop, self._emit_gate.for_partition(), self._max_wait
        return _SourcePartition(consumer, join, topic, int(partition), offset, *controls)

    def lag(self) -> dict[tuple[str, int], int]:
        """Return the consumer lag by topic and partition; empty if it is unknown."""
        try:
            consumers = list(self._consumers.values())
            return {key: lag for consumer in consumers for key, lag in consumer.lag()}
        except (KafkaException, RuntimeError):  # closed, or nothing is assigned yet
            return {}

    def unavailable_reason(self) -> str | None:
        """Return the reason if no broker answers, else None; None also before anything is read."""
        try:
            for consumer in list(self._consumers.values()):
                consumer.ping(_PING_TIMEOUT_S)
        except KafkaException as error:
            return f"{self._broker}: {error.args[0].str()}"
        except (RuntimeError, StopIteration):  # closed
            return None
        return None
