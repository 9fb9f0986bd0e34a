"""Check of the kind of data in raw topics, before frames of another kind are sent there."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from candlewax.core.kind_marks import KIND_TEXTS
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError, KafkaClient, log
from candlewax.kafka.raw_messages import read_kinds

_TIMEOUT_S: Final = 10.0
"""Seconds to wait for the last messages of all partitions."""

_RETRY_INTERVAL_S: Final = 0.05


def require_kind(broker: KafkaClient, exchanges: Iterable[str], kind: str) -> None:
    """Raise BrokerError if the last message in a partition of a raw topic is of another kind.

    Consumers check every message and stop at one of another kind; this check comes before such
    messages are sent. It skips a partition that cannot be read now.
    """
    for topic, partition, stored_kind in _read_last_kinds(broker, exchanges):
        if stored_kind != kind:
            described = KIND_TEXTS.get(stored_kind, stored_kind)
            raise BrokerError(
                f"{broker}: {topic}, partition {partition} holds {described}; "
                f"{KIND_TEXTS[kind]} would be sent beside it. Set CANDLEWAX_BROKERS to others"
            )


def _read_last_kinds(
    broker: KafkaClient, exchanges: Iterable[str]
) -> Iterator[tuple[str, int, str]]:
    """Yield topic, partition and kind of the last message of each partition that has one."""
    counts = broker.topics()
    names = [name for exchange in exchanges if (name := topics.raw(exchange)) in counts]
    deadline = time.monotonic() + _TIMEOUT_S
    with closing(broker.consumer("candlewax-kinds", _log_error)) as consumer:
        places = [TopicPartition(name, n) for name in names for n in range(counts[name])]
        last_messages = [
            TopicPartition(place.topic, place.partition, last)
            for place in places
            if (last := _find_last_offset(consumer, place, deadline)) is not None
        ]
        consumer.assign(last_messages)
        unread = {(place.topic, place.partition) for place in last_messages}
        while unread and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None or message.error():
                continue
            topic, partition = message.topic() or "", message.partition() or 0
            unread.discard((topic, partition))
            for kind in read_kinds([message]):
                yield topic, partition, kind.decode(errors="backslashreplace")


def _find_last_offset(consumer: Consumer, place: TopicPartition, deadline: float) -> int | None:
    """Return the offset of the last message of a partition; None if empty or unreadable."""
    while True:
        try:
            first, following = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
        except KafkaException as error:
            # Not every broker knows a topic that was just created.
            if time.monotonic() > deadline:
                log.warning("%s: its kind is not known: %s", place.topic, error.args[0].str())
                return None
            time.sleep(_RETRY_INTERVAL_S)
        else:
            return following - 1 if following > first else None


def _log_error(error: KafkaError) -> None:
    log.debug("broker: %s", error.str())
