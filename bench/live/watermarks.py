"""How far topics have grown, and how far their readers are."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

_SECONDS: Final = 10.0


class Watch:
    """Looks at the ends of topics."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._consumer = self._of("watch")

    def _of(self, group: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._servers,
                "log_level": 0,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def places(self, topics: Iterable[str]) -> list[TopicPartition]:
        """All partitions of those topics that are there."""
        there = self._admin.list_topics(timeout=_SECONDS).topics
        return [
            TopicPartition(topic, partition)
            for topic in topics
            if topic in there
            for partition in there[topic].partitions
        ]

    def end(self, places: Iterable[TopicPartition]) -> int:
        """How many messages they hold."""
        return sum(self._end(place) for place in places)

    def _end(self, place: TopicPartition) -> int:
        try:
            low, high = self._consumer.get_watermark_offsets(place, timeout=_SECONDS)
        except KafkaException:  # a topic that has only just come about
            return 0
        return int(high - low)

    def lag(self, group: str, topics: Iterable[str]) -> int:
        """How many messages a group has still to read; one that has shown no offset, all."""
        consumer = self._of(group)
        try:
            places = consumer.committed(self.places(topics), timeout=_SECONDS)
            return sum(
                self.end([TopicPartition(place.topic, place.partition)]) - max(0, place.offset)
                for place in places
            )
        finally:
            consumer.close()

    def create(self, topics: Iterable[str]) -> None:
        """Make topics of one partition."""
        for done in self._admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
            done.result(_SECONDS)

    def delete(self, topics: list[str]) -> None:
        """Delete topics; they may linger for a moment."""
        for done in self._admin.delete_topics(topics).values():
            done.result(_SECONDS)
