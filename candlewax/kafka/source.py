"""Topics as a source."""

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
from candlewax.kafka.messages import by_place
from candlewax.runtime import metrics
from candlewax.runtime.emit_gate import ALWAYS, PULSE, EmitGate, Looks
from candlewax.runtime.errors import log_failures

PIECE: Final = 10_000
"""Messages that are taken from the client at once. They are objects, with others in them:
what is to be read of them is read, and they are let go, before they have left the processor's
cache and the interpreter has looked for cycles among them."""

BATCH: Final = 10 * PIECE
"""The most messages, of all partitions of a worker, that are handed on at once: what a step
or an insert costs is mostly paid by the batch, and small parts of tables are soon merged."""

BATCH_BYTES: Final = 64 << 20
"""What they may hold together until no more is taken; frames are rarely that large."""

_ANSWER: Final = 2.0
"""Seconds that a broker has to say that it is there."""

_GONE: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the library's name
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)
"""What the client says once a topic has been away for longer than a broker needs to
spread the word of it."""


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
    """What messages become: `read` gives what there is to know of those that are taken at
    once, `join` what is handed on of several such pieces, which follow each other in their
    partition.
    """

    read: Callable[[PartitionMessages], X]
    join: Callable[[Sequence[X]], Iterable[Y]]


class _SharedConsumer(Generic[X]):
    """One consumer for all partitions of a worker."""

    def __init__(
        self, broker: KafkaClient, group: str, read: Callable[[PartitionMessages], X]
    ) -> None:
        self._failure = ""
        self._read = read
        self.consumer = broker.consumer(group, self._on_error)
        # What was read, and the offset behind it.
        self._queues: dict[tuple[str, int], list[tuple[X, int]]] = {}
        self._next: dict[tuple[str, int], int] = {}
        self.more = False
        """Whether there was more to take when it was looked last."""

    def add(self, topic: str, partition: int, offset: int) -> None:
        self._queues[topic, partition] = []
        self._next[topic, partition] = offset
        self.consumer.incremental_assign([TopicPartition(topic, partition, offset)])

    def remove(self, topic: str, partition: int) -> None:
        self._queues.pop((topic, partition), None)
        self._next.pop((topic, partition), None)
        if self._queues:
            self.consumer.incremental_unassign([TopicPartition(topic, partition)])
        else:
            self.consumer.close()

    def take(self, topic: str, partition: int) -> list[tuple[X, int]]:
        """All that came of a partition by now: a batch of a few costs about as much as a
        full one.
        """
        place = topic, partition
        if not self._queues[place]:
            self._fill()
        taken, self._queues[place] = self._queues[place], []
        if taken:
            self._next[place] = taken[-1][1]
        return taken

    def lag(self) -> Iterable[tuple[tuple[str, int], int]]:
        """How far each partition's end is from what was taken."""
        # Asked by other threads, also while partitions close.
        for place, offset in list(self._next.items()):
            try:
                low, high = self.consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            except (KafkaException, RuntimeError):
                continue
            if high >= 0:
                yield place, max(0, high - max(offset, low))

    def ask(self, seconds: float) -> None:
        """Return when a broker answers. Raises KafkaException."""
        self.consumer.list_topics(next(iter(self._next))[0], timeout=seconds)

    def _fill(self) -> None:
        self.more, count, size = True, 0, 0
        while self.more and count < BATCH and size < BATCH_BYTES:
            messages = self.consumer.consume(PIECE, 0)
            if self._failure:
                raise BrokerError(self._failure)
            self.more = len(messages) == PIECE
            count, size = count + len(messages), size + sum(map(len, messages))
            for (topic, partition), some in by_place(messages).items():
                read = self._read(PartitionMessages(topic, partition, some))
                self._queues[topic, partition].append((read, (some[-1].offset() or 0) + 1))

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _GONE:
            self._failure = error.str()
        else:
            log.warning("broker: %s", error.str())


@log_failures
class _Part(StatefulSourcePartition[Y, int], Generic[X, Y]):
    def __init__(
        self, poll: _SharedConsumer[X], join: Callable[[Sequence[X]], Iterable[Y]],
        topic: str, partition: int, resumed: int,
        stopping: Callable[[], bool], may: Callable[[], bool], linger: timedelta | None,
    ) -> None:  # fmt: skip
        self._poll = poll
        self._join = join
        self._topic = topic
        self._partition = partition
        self._next = self._durable = resumed
        self._stopping = stopping
        self._may = may
        self._linger = linger
        self.looks = Looks(PULSE)
        poll.add(topic, partition, resumed)

    def next_batch(self) -> Iterable[Y]:
        if self._stopping():
            raise StopIteration
        if not self.looks.due():
            return []
        if not self._may():
            self.looks.wait(timedelta())
            return []
        taken = self._poll.take(self._topic, self._partition)
        self.looks.wait(None if self._poll.more else self._linger or timedelta())
        if not taken:
            return []
        self.looks.emitted()
        self._next = taken[-1][1]
        return self._join([read for read, _ in taken])

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> int:
        # What the snapshot before covered is durable by now: lag tools may see it.
        self._show(self._durable)
        self._durable = self._next
        # A worker that waits for something to be stored does not come here.
        metrics.committed()
        return self._next

    def close(self) -> None:
        self._show(self._durable)
        self._poll.remove(self._topic, self._partition)

    def _show(self, offset: int) -> None:
        if offset < 0:
            return
        place = TopicPartition(self._topic, self._partition, offset)
        try:
            self._poll.consumer.commit(offsets=[place], asynchronous=True)
        except KafkaException as error:
            log.warning("%s: the group's offset is not shown: %s", self._topic, error)


@log_failures
class KafkaSource(FixedPartitionedSource[Y, int], Generic[X, Y]):
    """Reads topics from where the last snapshot ends, else from their beginning.

    Unit of parallelism: a partition of a topic; those of one worker share a consumer.
    Delivery: resumes at the snapshot's offset, so at least once for the messages of an
    unfinished epoch, in the order of their partition. An offset that the broker no
    longer holds raises BrokerError. Offsets are committed to `group` only to be seen.
    """

    def __init__(
        self,
        broker: KafkaClient,
        topics: Mapping[str, Iterable[int] | None],
        reading: MessageCodec[X, Y],
        group: str,
        stopping: Callable[[], bool],
        turns: EmitGate | None = None,
        linger: timedelta | None = None,
    ) -> None:
        """`topics` gives for each the partitions to read, or None for all; what is handed
        on is what `reading` makes of the messages. What has come stays where it is until
        its part has its turn, if there are `turns`; `linger` is the time between two
        batches, if any.

        Raises BrokerError if a topic is absent or no broker answers.
        """
        self._broker = broker
        self._reading = reading
        self._group = group
        self._stopping = stopping
        self._turns = turns or EmitGate()
        self._linger = linger
        self._parts = [
            f"{topic}:{partition}"
            for topic, some in topics.items()
            for partition in (range(broker.partitions(topic)) if some is None else some)
        ]
        self._polls: dict[int, _SharedConsumer[X]] = {}

    def list_parts(self) -> list[str]:
        return self._parts

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Part[X, Y]:
        topic, _, partition = for_part.rpartition(":")
        worker = threading.get_ident()
        if worker not in self._polls:
            self._polls[worker] = _SharedConsumer(self._broker, self._group, self._reading.read)
        resumed = OFFSET_BEGINNING if resume_state is None else resume_state
        poll, waits = (
            self._polls[worker],
            (self._stopping, self._turns.for_partition(), self._linger),
        )
        return _Part(poll, self._reading.join, topic, int(partition), resumed, *waits)

    def lag(self) -> dict[tuple[str, int], int]:
        """By topic and partition, how many messages there are to be read yet."""
        try:
            return {place: lag for poll in list(self._polls.values()) for place, lag in poll.lag()}
        except (KafkaException, RuntimeError):  # closed, or nothing is assigned yet
            return {}

    def unavailable_reason(self) -> str | None:
        """Whether no broker answers, and why; nothing as long as nothing is read."""
        try:
            for poll in list(self._polls.values()):
                poll.ask(_ANSWER)
        except KafkaException as error:
            return f"{self._broker}: {error.args[0].str()}"
        except (RuntimeError, StopIteration):  # closed
            return None
        return None
