"""Topics as a source."""

import time
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.source import (
    BATCH_BYTES,
    BATCH_MESSAGES,
    CHUNK_MESSAGES,
    KafkaSource,
    MessageCodec,
    PartitionMessages,
)
from candlewax.kafka.topics import Topic
from candlewax.runtime.emit_gate import ALWAYS, STEP, EmitGate
from candlewax.runtime.settings import Brokers
from tests.support.kafka import reading

NAME = "market.crypto.trades.test"
GROUP = "candlewax-test"

AS_THEY_ARE = MessageCodec[PartitionMessages, PartitionMessages](lambda consumed: consumed, list)
"""Messages are handed on."""


class Reader:
    """Drives a source as the engine does."""

    def __init__(self, broker: KafkaClient, group: str = GROUP, **resumed: int) -> None:
        self.stopping = False
        self.source = KafkaSource(broker, {NAME: None}, AS_THEY_ARE, group, lambda: self.stopping)
        states = {f"{NAME}:{name[1:]}": offset for name, offset in resumed.items()}
        self.parts = {
            name: self.source.build_part("", name, states.get(name))
            for name in self.source.list_parts()
        }
        self.values: dict[int, list[bytes | None]] = {}

    def round(self) -> int:
        """Ask each partition once; how many messages came."""
        count = 0
        for part in self.parts.values():
            for consumed in part.next_batch():
                assert isinstance(consumed, PartitionMessages)
                assert consumed.topic == NAME
                values = self.values.setdefault(consumed.partition, [])
                values += [message.value() for message in consumed.messages]
                count += len(consumed.messages)
        return count

    def read(self, count: int) -> dict[int, list[bytes | None]]:
        """Ask until so many messages have come."""

        def enough() -> bool:
            self.round()
            return sum(map(len, self.values.values())) >= count

        reading.until(enough)
        return self.values

    def close(self) -> None:
        for part in self.parts.values():
            part.close()


def numbers(begin: int, end: int) -> list[bytes | None]:
    return [b"%d" % n for n in range(begin, end)]


def delete_before(servers: str, offset: int) -> None:
    """As retention does."""
    client = reading.admin(servers)
    (done,) = client.delete_records([TopicPartition(NAME, 0, offset)]).values()
    done.result(timeout=30)


class Said:
    """A message, as far as a source looks at it."""

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
    """A broker whose two partitions take turns, one message each."""

    def partitions(self, _: str) -> int:
        return 2

    def __init__(self, count: int = 200, size: int = 1) -> None:
        self.count = count
        self.size = size

    def consumer(self, *_: object) -> "Alternating":
        self.messages = [Said(number % 2, number // 2, self.size) for number in range(self.count)]
        return self

    def incremental_assign(self, _: object) -> None:
        pass

    def consume(self, count: int, _: float) -> list[Said]:
        messages, self.messages = self.messages[:count], self.messages[count:]
        return messages


def test_what_came_of_a_partition_is_taken_at_once() -> None:
    """Who is behind catches up: a batch of one message costs as much as a full one."""
    alternating: Any = Alternating()
    reader = Reader(alternating)
    assert [reader.round(), reader.round()] == [200, 0]
    assert reader.values == {0: numbers(0, 100), 1: numbers(0, 100)}


def test_what_is_taken_at_once_has_an_end() -> None:
    """The rest comes the next time, and lingering for it would only be late."""
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


def test_what_is_taken_at_once_has_a_size() -> None:
    """Frames may be large; the rest comes the next time."""
    alternating: Any = Alternating(3 * CHUNK_MESSAGES, BATCH_BYTES // (2 * CHUNK_MESSAGES) + 1)
    reader = Reader(alternating)
    assert [reader.round(), reader.round()] == [2 * CHUNK_MESSAGES, CHUNK_MESSAGES]


class Gone(Alternating):
    """A broker that is away when it is asked for."""

    def list_topics(self, *_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "nobody there"))  # noqa: SLF001

    def __str__(self) -> str:
        return "kafka:9092"


def test_a_broker_that_is_away_is_told() -> None:
    """Who reads nothing, not yet or no longer, does not ask for it."""
    gone: Any = Gone()
    assert (
        KafkaSource(gone, {NAME: None}, AS_THEY_ARE, GROUP, lambda: False).unavailable_reason()
        is None
    )
    reader = Reader(gone)
    assert reader.source.unavailable_reason() == "kafka:9092: nobody there"


@pytest.fixture
def topic(broker: KafkaClient, servers: str) -> str:
    """A topic of two partitions with a hundred messages each."""
    broker.create([Topic(NAME, 2, -1)])
    reading.put(servers, NAME, numbers(0, 100), partition=0)
    reading.put(servers, NAME, numbers(100, 200), partition=1)
    return NAME


@pytest.mark.usefixtures("topic")
def test_a_topic_is_read_from_its_beginning(broker: KafkaClient) -> None:
    """Every partition in its order."""
    reader = Reader(broker)
    assert reader.source.list_parts() == [f"{NAME}:0", f"{NAME}:1"]
    assert reader.read(200) == {0: numbers(0, 100), 1: numbers(100, 200)}
    assert reader.source.unavailable_reason() is None
    reader.close()


def test_some_partitions_are_read(broker: KafkaClient, topic: str) -> None:
    """Others are another process's."""
    source = KafkaSource(broker, {topic: [1]}, AS_THEY_ARE, GROUP, lambda: False)
    assert source.list_parts() == [f"{NAME}:1"]


@pytest.mark.parametrize("linger", [None, timedelta(seconds=8)])
def test_what_comes_waits_for_others_as_long_as_is_asked_for(
    broker: KafkaClient, topic: str, linger: timedelta | None
) -> None:
    """Where nothing is asked for, for nothing."""
    source = KafkaSource(broker, {topic: [1]}, AS_THEY_ARE, GROUP, lambda: False, max_wait=linger)
    part = source.build_part("", f"{topic}:1", None)
    assert part.poll_timer.remaining_s == 0
    before = time.monotonic()
    part.next_batch()
    looks_at, after = time.monotonic() + part.poll_timer.remaining_s, time.monotonic()
    waited = (linger or timedelta()).total_seconds()
    assert before + waited <= looks_at <= after + waited + STEP.total_seconds() + 1e-3
    part.close()


def test_a_held_source_keeps_what_comes(broker: KafkaClient, topic: str) -> None:
    """Until it is let go; nothing is lost by it."""
    held, turns = True, EmitGate()
    turns.add_backpressure(lambda: held)
    source = KafkaSource(broker, {topic: [1]}, AS_THEY_ARE, GROUP, lambda: False, turns)
    part = source.build_part("", f"{topic}:1", None)
    assert [list(part.next_batch()) for _ in range(100)] == [[]] * 100
    held = False
    values: list[bytes | None] = []

    def all_came() -> bool:
        for consumed in part.next_batch():
            values.extend(message.value() for message in consumed.messages)
        return len(values) == 100

    reading.until(all_came)
    assert values == numbers(100, 200)
    part.close()


def test_it_resumes_where_the_snapshot_ends(broker: KafkaClient, topic: str, servers: str) -> None:
    """Each message comes once, over both lives, in any cut."""
    first = Reader(broker)
    first.read(200)
    states = [part.snapshot() for part in first.parts.values()]
    assert states == [100, 100]
    first.close()
    reading.put(servers, topic, numbers(300, 310), partition=1)
    second = Reader(broker, p0=states[0], p1=states[1])
    assert second.read(10) == {1: numbers(300, 310)}
    assert [part.snapshot() for part in second.parts.values()] == [100, 110]
    second.close()


@pytest.mark.usefixtures("topic")
def test_a_snapshot_before_anything_came_changes_nothing(broker: KafkaClient) -> None:
    """Who resumes at it gets the same."""
    reader = Reader(broker, p1=50)
    states = [part.snapshot() for part in reader.parts.values()]
    assert states[1] == 50
    reader.close()
    again = Reader(broker, p0=states[0], p1=states[1])
    assert again.read(150) == {0: numbers(0, 100), 1: numbers(150, 200)}
    again.close()


@pytest.mark.usefixtures("topic")
def test_an_offset_that_is_gone_is_an_error(broker: KafkaClient, servers: str) -> None:
    """Never a leap over what is lost."""
    delete_before(servers, 60)
    reader = Reader(broker, p0=50)
    with pytest.raises(BrokerError, match=r"test, partition 0: .* no longer there"):
        reader.read(250)
    reader.close()
    assert reader.values.get(0, []) == []


@pytest.mark.usefixtures("topic")
def test_an_offset_that_is_still_to_come_is_an_error(broker: KafkaClient) -> None:
    """The topic was made anew under the recovery store."""
    reader = Reader(broker, p0=101)
    with pytest.raises(BrokerError, match="the topic was created again"):
        reader.read(250)
    reader.close()


@pytest.mark.usefixtures("topic")
def test_without_a_snapshot_it_begins_with_what_is_left(broker: KafkaClient, servers: str) -> None:
    """Retention has run, nobody was there."""
    delete_before(servers, 60)
    reader = Reader(broker)
    assert reader.read(140) == {0: numbers(60, 100), 1: numbers(100, 200)}
    assert reader.parts[f"{NAME}:0"].snapshot() == 100
    reader.close()


def test_a_topic_deleted_under_it_is_an_error(
    broker: KafkaClient, topic: str, servers: str
) -> None:
    """Not silence, once the broker had time to spread the word."""
    soon = Brokers(str(broker), {"topic.metadata.propagation.max.ms": "500"})
    reader = Reader(KafkaClient(soon))
    reader.read(200)
    reading.delete_topics(servers, [topic])
    with pytest.raises(BrokerError, match=r"test \[.\]: topic does not exist"):
        reading.until(reader.round)
    reader.close()


def test_a_topic_that_is_not_there_is_named(broker: KafkaClient) -> None:
    """Before anything begins."""
    with pytest.raises(BrokerError, match="there is no topic"):
        KafkaSource(broker, {"nowhere": None}, AS_THEY_ARE, GROUP, lambda: False)


@pytest.mark.usefixtures("topic")
def test_lag_tools_see_what_is_durable(broker: KafkaClient, servers: str) -> None:
    """What a snapshot covered, once the next says that it holds."""
    group = f"{GROUP}-seen"
    reader = Reader(broker, group, p1=50)
    reader.read(150)
    for part in reader.parts.values():
        part.snapshot()
    reading.until(lambda: reading.committed(servers, group, NAME) == {1: 50})
    for part in reader.parts.values():
        part.snapshot()
    reading.until(lambda: reading.committed(servers, group, NAME) == {0: 100, 1: 100})
    reader.close()


@pytest.mark.usefixtures("topic")
def test_what_is_left_to_read_is_told(broker: KafkaClient, servers: str) -> None:
    """Of each partition: not what lies before it, nor what retention took."""
    delete_before(servers, 60)
    reader = Reader(broker, p1=100)
    reader.read(40)
    reading.until(lambda: reader.source.lag() == {(NAME, 0): 0, (NAME, 1): 0})
    reading.put(servers, NAME, numbers(0, 7), partition=1)

    def waits() -> bool:
        # The client fetches ahead; nothing is taken.
        return reader.source.lag() == {(NAME, 0): 0, (NAME, 1): 7}

    reading.until(waits)
    reader.read(47)
    reading.until(lambda: reader.source.lag() == {(NAME, 0): 0, (NAME, 1): 0})
    reader.close()
    assert reader.source.lag() == {}


@pytest.mark.usefixtures("topic")
def test_it_ends_when_asked_to_stop(broker: KafkaClient) -> None:
    """Each partition, and its place stays known."""
    reader = Reader(broker)
    reader.read(200)
    reader.stopping = True
    for part in reader.parts.values():
        with pytest.raises(StopIteration):
            part.next_batch()
        assert part.snapshot() == 100
    reader.close()


def test_values_may_be_anything(broker: KafkaClient, servers: str) -> None:
    """None, empty, huge."""
    broker.create([Topic(NAME, 1, -1)])
    values = [None, b"", b"x" * (16 << 20), b"\xff\0"]
    reading.put(servers, NAME, values)
    reader = Reader(broker)
    assert reader.read(4) == {0: values}
    reader.close()
