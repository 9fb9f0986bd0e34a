"""Reading of the last message of each partition of topics."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from candlewax.kafka.client import KafkaClient, log

_TIMEOUT_S: Final = 10.0
"""Seconds to wait for the last messages of all partitions."""

_RETRY_INTERVAL_S: Final = 0.05


def read_last_messages(
    broker: KafkaClient, topics: Iterable[str], group: str
) -> Iterator[tuple[str, int, Message]]:
    """Yield topic, partition and last message of each partition that has one.

    Skip absent topics, and a partition that cannot be read now. `group` is that of the consumer;
    nothing is committed. Raises BrokerError.
    """
    counts = broker.topics()
    places = [
        TopicPartition(name, number) for name in topics for number in range(counts.get(name, 0))
    ]
    if not places:
        return
    deadline = time.monotonic() + _TIMEOUT_S
    with closing(broker.consumer(group, _log_error)) as consumer:
        last_places = [
            TopicPartition(place.topic, place.partition, last)
            for place in places
            if (last := _find_last_offset(consumer, place, deadline)) is not None
        ]
        if not last_places:
            return
        consumer.assign(last_places)
        unread = {(place.topic, place.partition) for place in last_places}
        while unread and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None or message.error():
                continue
            place = message.topic() or "", message.partition() or 0
            if place in unread:
                unread.discard(place)
                yield *place, message


def _find_last_offset(consumer: Consumer, place: TopicPartition, deadline: float) -> int | None:
    """Return the offset of the last message of a partition; None if empty or unreadable."""
    while True:
        try:
            first, following = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
        except KafkaException as error:
            # Not every broker knows a topic that was just created.
            if time.monotonic() > deadline:
                log.warning("%s: its end cannot be read: %s", place.topic, error.args[0].str())
                return None
            time.sleep(_RETRY_INTERVAL_S)
        else:
            return following - 1 if following > first else None


def _log_error(error: KafkaError) -> None:
    log.debug("broker: %s", error.str())
