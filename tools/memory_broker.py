"""Stand-ins for the clients of `confluent_kafka`: topics of one partition, in memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock


class Message:
    """Message as a consumer returns it."""

    def __init__(self, topic: str, offset: int, content: dict[str, Any]) -> None:
        value, key = content["value"], content["key"]
        self._value: bytes = value.encode() if isinstance(value, str) else value
        self.topic = lambda: topic
        self.partition = lambda: 0
        self.offset = lambda: offset
        self.value = lambda: self._value
        self.key = key.encode
        self.headers = lambda: content.get("headers")
        self.timestamp = lambda: (1, content.get("timestamp", 0))
        self.error = lambda: None

    def __len__(self) -> int:
        return len(self._value)


class MemoryBroker:
    """Topics in memory.

    A consumer hands over one message each time it is waited for. Before that it calls `on_wait`
    with the message, None after the last one: all messages before it have been processed. Then
    `is_read` is true.
    """

    def __init__(self) -> None:
        self.topics: defaultdict[str, list[Message]] = defaultdict(list)
        self.on_wait: Callable[[Message | None], None] = lambda _: None
        self.is_read = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the clients that the product builds."""
        with ExitStack() as stack:
            for name in ("AdminClient", "Producer", "Consumer"):
                stand_in = mock.Mock(side_effect=lambda _, kind=f"_{name}": globals()[kind](self))
                stack.enter_context(mock.patch(f"candlewax.kafka.client.{name}", stand_in))
            yield


class _AdminClient:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def list_topics(self, **_: object) -> SimpleNamespace:
        one_partition = SimpleNamespace(partitions=[0])
        return SimpleNamespace(topics=dict.fromkeys(self._broker.topics, one_partition))


class _Producer:
    def __init__(self, broker: MemoryBroker) -> None:
        self._topics = broker.topics

    def produce(self, topic: str, value: bytes, key: str, *_: object, **options: object) -> None:
        self.produce_batch(topic, [{"value": value, "key": key, **options}])

    def produce_batch(self, topic: str, messages: Sequence[dict[str, Any]], *_: object) -> None:
        for content in messages:
            self._topics[topic].append(Message(topic, len(self._topics[topic]), content))

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        return 0

    def __len__(self) -> int:
        return 0


class _Consumer:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._messages: Iterator[Message] = iter(())

    def incremental_assign(self, places: Sequence[Any]) -> None:
        self._messages = iter(self._broker.topics[places[0].topic])
        self._broker.is_read = False

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        """As of an empty topic: a process starts before any message is there."""
        return 0, 0

    def poll(self, _: float) -> Message | None:
        message = next(self._messages, None)
        self._broker.on_wait(message)
        self._broker.is_read = message is None
        return message

    def consume(self, *_: object) -> list[Message]:
        return []

    def commit(self, **_: object) -> None:
        pass

    def close(self) -> None:
        pass
