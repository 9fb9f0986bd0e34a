"""A topic of tests, and its values."""

from candlewax.kafka.client import KafkaClient
from candlewax.kafka.source import (
    KafkaSource,
    MessageCodec,
    PartitionMessages,
)
from tests.support.kafka import reading

NAME = "market.crypto.trades.test"

GROUP = "candlewax-test"

AS_THEY_ARE = MessageCodec[PartitionMessages, PartitionMessages](lambda consumed: consumed, list)
"""Messages are handed on."""


class Reader:
    """Drives a source as the engine does."""

    def __init__(self, broker: KafkaClient, group: str = GROUP, **resumed: int) -> None:
        self.stopping = False
        self.source = KafkaSource(broker, {NAME: None}, AS_THEY_ARE, group, lambda: self.stopping)
        states = {f"{NAME}:{name[1:]}": offset for name, offset in resumed.items()}
        self.parts = {
            name: self.source.build_part("", name, states.get(name))
            for name in self.source.list_parts()
        }
        self.values: dict[int, list[bytes | None]] = {}

    def round(self) -> int:
        """Ask each partition once; how many messages came."""
        count = 0
        for part in self.parts.values():
            for consumed in part.next_batch():
                assert isinstance(consumed, PartitionMessages)
                assert consumed.topic == NAME
                values = self.values.setdefault(consumed.partition, [])
                values += [message.value() for message in consumed.messages]
                count += len(consumed.messages)
        return count

    def read(self, count: int) -> dict[int, list[bytes | None]]:
        """Ask until so many messages have come."""

        def enough() -> bool:
            self.round()
            return sum(map(len, self.values.values())) >= count

        reading.until(enough)
        return self.values

    def close(self) -> None:
        for part in self.parts.values():
            part.close()


def numbers(begin: int, end: int) -> list[bytes | None]:
    return [b"%d" % n for n in range(begin, end)]
