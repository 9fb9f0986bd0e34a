"""Creation of the topics that a process needs."""

from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.topics import NORMALIZED, raw, required_topics
from candlewax.runtime.settings import Brokers


def create_topics(
    broker: KafkaClient,
    brokers: Brokers,
    exchanges: tuple[str, ...],
) -> None:
    """Create the topics of these exchanges where they are absent. Raises BrokerError.

    A raw topic that exists gets a partition for each shard of its exchange.
    """
    counts, shards = (brokers.raw_partitions, brokers.normalized_partitions), brokers.shards
    broker.create(required_topics(exchanges, *counts, shards))
    for exchange in exchanges:
        broker.add_partitions(raw(exchange), shards.get(exchange, 1))
    most = max((shards.get(exchange, 1) for exchange in exchanges), default=1)
    if broker.partitions(NORMALIZED) < most:
        raise BrokerError(
            f"{broker}: {NORMALIZED} has {broker.partitions(NORMALIZED)} partitions and needs "
            f"{most}, one for each shard of an exchange; read it to its end, delete it and start "
            "again"
        )
