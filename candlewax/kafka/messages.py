"""Messages of a broker's client, sorted by where they come from."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import groupby
from operator import methodcaller
from typing import Final

from confluent_kafka import KafkaError, Message

from candlewax.kafka.client import BrokerError, log

# For each of thousands of messages: what is called is written in C.
_error: Final = methodcaller("error")
_topic: Final = methodcaller("topic")
_partition: Final = methodcaller("partition")


def by_place(messages: list[Message]) -> Mapping[tuple[str, int], list[Message]]:
    """Messages by topic and partition; raises what cannot be waited out."""
    if any(map(_error, messages)):
        messages = list(filter(_is_good, messages))
    found: defaultdict[tuple[str, int], list[Message]] = defaultdict(list)
    for topic, of_topic in groupby(messages, key=_topic):
        for partition, some in groupby(of_topic, key=_partition):
            found[topic, partition].extend(some)
    return found


def _is_good(message: Message) -> bool:
    """Whether this is a message; raises what cannot be waited out."""
    error = message.error()
    if error is None:
        return True
    where = f"{message.topic()}, partition {message.partition()}"
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the library's name
        raise BrokerError(
            f"{where}: what comes next for this process is no longer there ({error.str()}). "
            "The topic's retention ran out before it was read, or the topic was made anew; "
            "delete the recovery store to begin with what is left"
        )
    if error.fatal() or not error.retriable():
        raise BrokerError(f"{where}: {error.str()}")
    log.warning("%s: %s", where, error.str())
    return False
