"""The kind of what raw topics hold: data of another kind is not sent beside it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from candlewax.core.kind_marks import DESCRIBED
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError, KafkaClient, log
from candlewax.kafka.raw_messages import kinds_of

_SECONDS: Final = 10.0
"""For a broker to give the last message of each partition."""

_GLANCE: Final = 0.05
"""Seconds before it is asked again."""


def check(broker: KafkaClient, exchanges: Iterable[str], kind: str) -> None:
    """Raise BrokerError if the last message of a raw topic tells of another kind.

    Consumers look at every message: this is so that a mistake does not stop them. A partition that
    cannot be read now is passed over.
    """
    for topic, partition, there in _latest(broker, exchanges):
        if there != kind:
            raise BrokerError(
                f"{broker}: {topic}, partition {partition} holds {DESCRIBED.get(there, there)}; "
                f"{DESCRIBED[kind]} would be sent beside it. Set CANDLEWAX_BROKERS to others"
            )


def _latest(broker: KafkaClient, exchanges: Iterable[str]) -> Iterator[tuple[str, int, str]]:
    """The kinds of the last messages, by topic and partition; a topic that is absent has none."""
    there = broker.topics()
    names = [name for exchange in exchanges if (name := topics.raw(exchange)) in there]
    end = time.monotonic() + _SECONDS
    with closing(broker.consumer("candlewax-kinds", _log_error)) as consumer:
        places = [TopicPartition(name, n) for name in names for n in range(there[name])]
        wanted = [
            TopicPartition(place.topic, place.partition, last)
            for place in places
            if (last := _last(consumer, place, end)) is not None
        ]
        consumer.assign(wanted)
        left = {(place.topic, place.partition) for place in wanted}
        while left and time.monotonic() < end:
            message = consumer.poll(0.1)
            if message is None or message.error():
                continue
            topic, partition = message.topic() or "", message.partition() or 0
            left.discard((topic, partition))
            for kind in kinds_of([message]):
                yield topic, partition, kind.decode(errors="backslashreplace")


def _last(consumer: Consumer, place: TopicPartition, end: float) -> int | None:
    """The offset of the last message of a partition; None if there is none, or none to be had."""
    while True:
        try:
            first, following = consumer.get_watermark_offsets(place, timeout=_SECONDS)
        except KafkaException as error:
            # The word of a topic that was just created has to spread.
            if time.monotonic() > end:
                log.warning("%s: its kind is not known: %s", place.topic, error.args[0].str())
                return None
            time.sleep(_GLANCE)
        else:
            return following - 1 if following > first else None


def _log_error(error: KafkaError) -> None:
    log.debug("broker: %s", error.str())
