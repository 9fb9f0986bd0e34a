"""Polls of KafkaSource: their size, and the report while the broker is away."""

from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from candlewax.kafka.source import (
    BATCH_BYTES,
    BATCH_MESSAGES,
    CHUNK_MESSAGES,
    KafkaSource,
)
from candlewax.runtime.poll_timer import ALWAYS, worker_group
from tests.support.kafka.source_reading import AS_THEY_ARE, GROUP, NAME, Reader, numbers


@pytest.fixture(autouse=True)
def _ready_group() -> None:
    """Other tests of this thread may have emitted just now; here no poll follows that."""
    worker_group().polls_without_wait = 0


class Message:
    """The part of a message that the source reads."""

    def __init__(self, partition: int, offset: int, size: int = 1) -> None:
        self.size = size
        self.partition = lambda: partition
        self.offset = lambda: offset
        self.topic = lambda: NAME
        self.error = lambda: None
        self.value = lambda: b"%d" % offset

    def __len__(self) -> int:
        return self.size


class Alternating:
    """A broker that delivers messages of its two partitions in turn."""

    def partitions(self, _: str) -> int:
        return 2

    def __init__(self, count: int = 200, size: int = 1) -> None:
        self.count = count
        self.size = size

    def consumer(self, *_: object) -> "Alternating":
        self.messages = [
            Message(number % 2, number // 2, self.size) for number in range(self.count)
        ]
        return self

    def incremental_assign(self, _: object) -> None:
        pass

    def poll(self, _: float) -> Message | None:
        """Return the first message, for which a source waits."""
        return self.messages.pop(0) if self.messages else None

    def consume(self, count: int, _: float) -> list[Message]:
        messages, self.messages = self.messages[:count], self.messages[count:]
        return messages


def rounds(reader: Reader) -> list[int]:
    """Poll until nothing is left; return how many messages came in each round with any."""
    counts = [reader.round() for _ in range(20)]
    assert counts[-1] == 0
    return [count for count in counts if count]


def test_poll_takes_all_messages_of_a_partition_at_once() -> None:
    """So a backlogged source catches up: a batch of one message costs as much as a full one."""
    alternating: Any = Alternating()
    reader = Reader(alternating)
    assert rounds(reader) == [200]
    assert reader.values == {0: numbers(0, 100), 1: numbers(0, 100)}


def test_poll_takes_a_bounded_number_of_messages() -> None:
    """The next poll takes the rest at once, without `max_wait`."""
    alternating: Any = Alternating(BATCH_MESSAGES + 3 * CHUNK_MESSAGES)
    linger = timedelta(seconds=8)
    source = KafkaSource(
        alternating, {NAME: None}, AS_THEY_ARE, GROUP, lambda: False, max_wait=linger
    )
    parts = [source.build_part("", name, None) for name in source.list_parts()]
    taken = [[consumed.messages for consumed in part.next_batch()] for part in parts]
    assert [len(pieces) for pieces in taken] == [BATCH_MESSAGES // CHUNK_MESSAGES] * 2
    assert [part.poll_timer.remaining_s for part in parts] == [0, 0]
    taken = [[consumed.messages for consumed in part.next_batch()] for part in parts]
    assert [sum(map(len, pieces)) for pieces in taken] == [3 * CHUNK_MESSAGES // 2] * 2
    assert all(part.poll_timer.remaining_s > 1 for part in parts)
    assert [part.next_awake() for part in parts] == [ALWAYS, ALWAYS]


def test_poll_takes_a_bounded_number_of_bytes() -> None:
    """The next poll takes the rest."""
    alternating: Any = Alternating(3 * CHUNK_MESSAGES, BATCH_BYTES // (2 * CHUNK_MESSAGES) + 1)
    reader = Reader(alternating)
    assert rounds(reader) == [2 * CHUNK_MESSAGES, CHUNK_MESSAGES]


class Unavailable(Alternating):
    """A broker that does not answer."""

    def list_topics(self, *_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "nobody there"))  # noqa: SLF001

    def __str__(self) -> str:
        return "kafka:9092"


def test_source_reports_a_broker_that_is_away() -> None:
    """A source without open partitions does not ask the broker."""
    unavailable: Any = Unavailable()
    assert (
        KafkaSource(
            unavailable, {NAME: None}, AS_THEY_ARE, GROUP, lambda: False
        ).unavailable_reason()
        is None
    )
    reader = Reader(unavailable)
    assert reader.source.unavailable_reason() == "kafka:9092: nobody there"
