"""Ends of topics, and lag of consumer groups."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

_SECONDS: Final = 10.0


class TopicWatch:
    """Reader of the ends of topics."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._consumer = self._consumer_of("watch")

    def _consumer_of(self, group: str) -> Consumer:
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
        """Close the connection to the broker."""
        self._consumer.close()

    def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return all partitions of those topics that exist."""
        existing = self._admin.list_topics(timeout=_SECONDS).topics
        return [
            TopicPartition(topic, partition)
            for topic in topics
            if topic in existing
            for partition in existing[topic].partitions
        ]

    def count_messages(self, partitions: Iterable[TopicPartition]) -> int:
        """Return how many messages partitions hold."""
        return sum(self._count_messages(partition) for partition in partitions)

    def _count_messages(self, partition: TopicPartition) -> int:
        try:
            low, high = self._consumer.get_watermark_offsets(partition, timeout=_SECONDS)
        except KafkaException:  # the topic was created a moment ago
            return 0
        return int(high - low)

    def lag(self, group: str, topics: Iterable[str]) -> int:
        """Return how many messages a group has yet to read; all, if it has no offset."""
        consumer = self._consumer_of(group)
        try:
            partitions = consumer.committed(self.partitions(topics), timeout=_SECONDS)
            return sum(
                self.count_messages([TopicPartition(partition.topic, partition.partition)])
                - max(0, partition.offset)
                for partition in partitions
            )
        finally:
            consumer.close()

    def create(self, topics: Iterable[str]) -> None:
        """Create topics of one partition."""
        for future in self._admin.create_topics(
            [NewTopic(topic, 1, 1) for topic in topics]
        ).values():
            future.result(_SECONDS)

    def delete(self, topics: list[str]) -> None:
        """Delete topics; they may exist for a moment longer."""
        for future in self._admin.delete_topics(topics).values():
            future.result(_SECONDS)
