"""KafkaSource on a real broker."""

import time
from datetime import timedelta

import pytest
from confluent_kafka import TopicPartition

from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.source import (
    KafkaSource,
)
from candlewax.kafka.topics import Topic
from candlewax.runtime.emit_gate import EmitGate
from candlewax.runtime.settings import Brokers
from tests.support.kafka import reading
from tests.support.kafka.source_reading import AS_THEY_ARE, GROUP, NAME, Reader, numbers


def delete_before(servers: str, offset: int) -> None:
    """Delete the messages before an offset, as retention does."""
    client = reading.admin(servers)
    (done,) = client.delete_records([TopicPartition(NAME, 0, offset)]).values()
    done.result(timeout=30)


@pytest.fixture
def topic(broker: KafkaClient, servers: str) -> str:
    """A topic of two partitions with a hundred messages each."""
    broker.create([Topic(NAME, 2, -1)])
    reading.put(servers, NAME, numbers(0, 100), partition=0)
    reading.put(servers, NAME, numbers(100, 200), partition=1)
    return NAME


@pytest.mark.usefixtures("topic")
def test_topic_is_read_from_its_beginning(broker: KafkaClient) -> None:
    """Each partition in order."""
    reader = Reader(broker)
    assert reader.source.list_parts() == [f"{NAME}:0", f"{NAME}:1"]
    assert reader.read(200) == {0: numbers(0, 100), 1: numbers(100, 200)}
    assert reader.source.unavailable_reason() is None
    reader.close()


def test_only_the_named_partitions_are_read(broker: KafkaClient, topic: str) -> None:
    """Another process reads the others."""
    source = KafkaSource(broker, {topic: [1]}, AS_THEY_ARE, GROUP, lambda: False)
    assert source.list_parts() == [f"{NAME}:1"]


@pytest.mark.parametrize("linger", [None, timedelta(seconds=8)])
def test_messages_wait_for_more_as_long_as_configured(
    broker: KafkaClient, topic: str, linger: timedelta | None
) -> None:
    """Without `max_wait` the next poll follows at once."""
    source = KafkaSource(broker, {topic: [1]}, AS_THEY_ARE, GROUP, lambda: False, max_wait=linger)
    part = source.build_part("", f"{topic}:1", None)
    assert part.poll_timer.remaining_s == 0
    before = time.monotonic()
    while not list(part.next_batch()):
        pass
    due_at, after = time.monotonic() + part.poll_timer.remaining_s, time.monotonic()
    assert before <= due_at - (linger or timedelta()).total_seconds() <= after
    part.close()


def test_held_source_keeps_its_messages(broker: KafkaClient, topic: str) -> None:
    """It emits all of them once the backpressure ends."""
    is_held, gate = True, EmitGate()
    gate.add_backpressure(lambda: is_held)
    source = KafkaSource(broker, {topic: [1]}, AS_THEY_ARE, GROUP, lambda: False, gate)
    part = source.build_part("", f"{topic}:1", None)
    assert [list(part.next_batch()) for _ in range(100)] == [[]] * 100
    is_held = False
    values: list[bytes | None] = []

    def all_received() -> bool:
        for consumed in part.next_batch():
            values.extend(message.value() for message in consumed.messages)
        return len(values) == 100

    reading.until(all_received)
    assert values == numbers(100, 200)
    part.close()


def test_source_resumes_where_its_snapshot_ends(
    broker: KafkaClient, topic: str, servers: str
) -> None:
    """Two processes in turn receive each message once."""
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
def test_snapshot_before_the_first_message_resumes_at_the_same_offset(broker: KafkaClient) -> None:
    reader = Reader(broker, p1=50)
    states = [part.snapshot() for part in reader.parts.values()]
    assert states[1] == 50
    reader.close()
    second = Reader(broker, p0=states[0], p1=states[1])
    assert second.read(150) == {0: numbers(0, 100), 1: numbers(150, 200)}
    second.close()


@pytest.mark.usefixtures("topic")
def test_deleted_offset_is_an_error(broker: KafkaClient, servers: str) -> None:
    """The source does not skip the lost messages."""
    delete_before(servers, 60)
    reader = Reader(broker, p0=50)
    with pytest.raises(BrokerError, match=r"test, partition 0: .* no longer there"):
        reader.read(250)
    reader.close()
    assert reader.values.get(0, []) == []


@pytest.mark.usefixtures("topic")
def test_offset_beyond_the_end_is_an_error(broker: KafkaClient) -> None:
    """The topic was created again since the snapshot."""
    reader = Reader(broker, p0=101)
    with pytest.raises(BrokerError, match="the topic was created again"):
        reader.read(250)
    reader.close()


@pytest.mark.usefixtures("topic")
def test_source_without_a_snapshot_begins_with_the_first_kept_message(
    broker: KafkaClient, servers: str
) -> None:
    """Retention has deleted earlier ones."""
    delete_before(servers, 60)
    reader = Reader(broker)
    assert reader.read(140) == {0: numbers(60, 100), 1: numbers(100, 200)}
    assert reader.parts[f"{NAME}:0"].snapshot() == 100
    reader.close()


def test_topic_deleted_while_read_is_an_error(
    broker: KafkaClient, topic: str, servers: str
) -> None:
    """Once the broker has propagated the deletion."""
    settings = Brokers(str(broker), {"topic.metadata.propagation.max.ms": "500"})
    reader = Reader(KafkaClient(settings))
    reader.read(200)
    reading.delete_topics(servers, [topic])
    with pytest.raises(BrokerError, match=r"test \[.\]: topic does not exist"):
        reading.until(reader.round)
    reader.close()


def test_missing_topic_is_named(broker: KafkaClient) -> None:
    """When the source is created."""
    with pytest.raises(BrokerError, match="there is no topic"):
        KafkaSource(broker, {"nowhere": None}, AS_THEY_ARE, GROUP, lambda: False)


@pytest.mark.usefixtures("topic")
def test_committed_offset_is_that_of_the_durable_snapshot(
    broker: KafkaClient, servers: str
) -> None:
    """The offsets of a snapshot are committed by the next one, when the first is durable."""
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
def test_lag_counts_the_messages_left_to_read(broker: KafkaClient, servers: str) -> None:
    """Of each partition, without messages before its start or deleted by retention."""
    delete_before(servers, 60)
    reader = Reader(broker, p1=100)
    reader.read(40)
    reading.until(lambda: reader.source.lag() == {(NAME, 0): 0, (NAME, 1): 0})
    reading.put(servers, NAME, numbers(0, 7), partition=1)

    def has_lag() -> bool:
        # The client prefetches, but the source has not taken the messages.
        return reader.source.lag() == {(NAME, 0): 0, (NAME, 1): 7}

    reading.until(has_lag)
    reader.read(47)
    reading.until(lambda: reader.source.lag() == {(NAME, 0): 0, (NAME, 1): 0})
    reader.close()
    assert reader.source.lag() == {}


@pytest.mark.usefixtures("topic")
def test_source_ends_when_asked_to_stop(broker: KafkaClient) -> None:
    """Each partition ends, and its snapshot keeps the offset."""
    reader = Reader(broker)
    reader.read(200)
    reader.stopping = True
    for part in reader.parts.values():
        with pytest.raises(StopIteration):
            part.next_batch()
        assert part.snapshot() == 100
    reader.close()


def test_any_value_is_read_unchanged(broker: KafkaClient, servers: str) -> None:
    """Null, empty, huge, and not UTF-8."""
    broker.create([Topic(NAME, 1, -1)])
    values = [None, b"", b"x" * (16 << 20), b"\xff\0"]
    reading.put(servers, NAME, values)
    reader = Reader(broker)
    assert reader.read(4) == {0: values}
    reader.close()
