"""Messages of a consumer, grouped by topic and partition."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import groupby
from operator import methodcaller
from typing import Final

from confluent_kafka import KafkaError, Message

from candlewax.kafka.client import BrokerError, log

# `methodcaller` is written in C, which matters for thousands of messages.
_error: Final = methodcaller("error")
_topic: Final = methodcaller("topic")
_partition: Final = methodcaller("partition")


def group_by_partition(messages: list[Message]) -> Mapping[tuple[str, int], list[Message]]:
    """Return messages by topic and partition. Raises BrokerError for an error that persists."""
    if any(map(_error, messages)):
        messages = list(filter(_is_message, messages))
    groups: defaultdict[tuple[str, int], list[Message]] = defaultdict(list)
    for topic, of_topic in groupby(messages, key=_topic):
        for partition, of_partition in groupby(of_topic, key=_partition):
            groups[topic, partition].extend(of_partition)
    return groups


def _is_message(message: Message) -> bool:
    """Return False for a transient error. Raises BrokerError for one that persists."""
    error = message.error()
    if error is None:
        return True
    where = f"{message.topic()}, partition {message.partition()}"
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the library's name
        raise BrokerError(
            f"{where}: what comes next for this process is no longer there ({error.str()}). "
            "The topic's retention ran out before it was read, or the topic was created again; "
            "delete the recovery store to begin with the messages that are left"
        )
    if error.fatal() or not error.retriable():
        raise BrokerError(f"{where}: {error.str()}")
    log.warning("%s: %s", where, error.str())
    return False
