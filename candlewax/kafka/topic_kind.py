"""Check of the kind of data in raw topics, before frames of another kind are sent there."""

from collections.abc import Iterable

from candlewax.core.kind_marks import KIND_TEXTS
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.last_messages import read_last_messages
from candlewax.kafka.raw_messages import read_kinds


def require_kind(broker: KafkaClient, exchanges: Iterable[str], kind: str) -> None:
    """Raise BrokerError if the last message in a partition of a raw topic is of another kind.

    Consumers check every message and stop at one of another kind; this check comes before such
    messages are sent. It skips a partition that cannot be read now.
    """
    names = [topics.raw(exchange) for exchange in exchanges]
    for topic, partition, message in read_last_messages(broker, names, "candlewax-kinds"):
        for name in read_kinds([message]):
            stored_kind = name.decode(errors="backslashreplace")
            if stored_kind != kind:
                described = KIND_TEXTS.get(stored_kind, stored_kind)
                raise BrokerError(
                    f"{broker}: {topic}, partition {partition} holds {described}; "
                    f"{KIND_TEXTS[kind]} would be sent beside it. Set CANDLEWAX_BROKERS to others"
                )
