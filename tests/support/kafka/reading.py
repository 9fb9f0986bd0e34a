"""Topics as others see them: plain clients, nothing of the program under test."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

PREFIX = "market.crypto.trades."

_NEW = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the library's names
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - the same
)
"""What a broker says of a partition that it is about to open, and a client of one that it has
yet to hear of.
"""

T = TypeVar("T")


def until(found: Callable[[], T], seconds: float = 60.0, pause: float = 0.02) -> T:
    """What is found once it is true; fails if it never is."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, f"still {answer!r}"
        time.sleep(pause)
    return answer


def admin(servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": servers, "log_level": 0})


def topics(servers: str) -> dict[str, int]:
    """The number of partitions of each of our topics."""
    there = admin(servers).list_topics(timeout=30).topics
    return {name: len(t.partitions) for name, t in there.items() if name.startswith(PREFIX)}


def delete_topics(servers: str, names: Sequence[str] | None = None) -> None:
    """Delete our topics, or some, and return when they are gone."""
    gone = [name for name in topics(servers) if names is None or name in names]
    client = admin(servers)  # its answers come as long as it lives
    if gone:
        for done in client.delete_topics(gone).values():
            done.result(timeout=30)
        until(lambda: not topics(servers).keys() & set(gone))


def create(servers: str, name: str, properties: dict[str, str]) -> None:
    """A topic of one partition, as others make it."""
    client = admin(servers)
    (done,) = client.create_topics([NewTopic(name, 1, config=properties)]).values()
    done.result(timeout=30)


def config(servers: str, topic: str) -> dict[str, str]:
    """A topic's configuration."""
    asked = ConfigResource(ConfigResource.Type.TOPIC, topic)
    client = admin(servers)
    (done,) = client.describe_configs([asked]).values()
    return {name: entry.value for name, entry in done.result(timeout=30).items()}


def read_all(servers: str, topic: str) -> list[Message]:
    """All messages of a topic, partition by partition."""
    properties: dict[str, str | int | float | bool] = {
        "bootstrap.servers": servers, "group.id": "tests", "enable.auto.commit": False,
        "log_level": 0,
    }  # fmt: skip
    found: list[Message] = []
    with closing(Consumer(properties)) as consumer:
        for number in range(topics(servers)[topic]):
            place = TopicPartition(topic, number, OFFSET_BEGINNING)
            low, high = _ends(consumer, place)
            consumer.assign([place])
            while low < high:
                for message in consumer.consume(min(10_000, high - low), 1):
                    assert message.error() is None, message.error()
                    found.append(message)
                    low = (message.offset() or 0) + 1
    return found


def ends(servers: str, topic: str) -> list[tuple[int, int]]:
    """The first and the next offset of each partition."""
    with closing(Consumer({"bootstrap.servers": servers, "group.id": "tests"})) as consumer:
        places = [TopicPartition(topic, n) for n in range(topics(servers)[topic])]
        return [_ends(consumer, place) for place in places]


def _ends(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    def ask() -> tuple[int, int] | None:
        try:
            return consumer.get_watermark_offsets(place, timeout=30)
        except KafkaException as error:
            if error.args[0].code() not in _NEW:
                raise
            return None

    return until(ask) or (0, 0)


def put(
    servers: str,
    topic: str,
    values: Sequence[bytes | None],
    key: bytes | None = None,
    partition: int = 0,
    headers: list[tuple[str, str | bytes | None]] | None = None,
    timestamp: int = 0,
) -> None:
    """Send messages, and return when they have arrived."""
    failed: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": servers, "message.max.bytes": 20_000_000})
    for value in values:
        producer.produce(
            topic,
            value,
            key,
            partition,
            timestamp=timestamp,
            headers=headers or [],
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(60) == 0
    assert not failed


def committed(servers: str, group: str, topic: str) -> dict[int, int]:
    """What a group has committed, by partition."""
    with closing(Consumer({"bootstrap.servers": servers, "group.id": group})) as consumer:
        places = [TopicPartition(topic, n) for n in range(topics(servers)[topic])]
        try:
            found = consumer.committed(places, timeout=30)
        except KafkaException:
            return {}
        return {place.partition: place.offset for place in found if place.offset >= 0}
