"""What leaves for the broker, and the certainty that it arrived."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError

from candlewax.kafka.client import BrokerAwayError, KafkaClient, log

_PATIENCE: Final = 8.0
"""Seconds that undelivered messages have once the process was asked to stop."""

_PAUSE: Final = 0.5
"""Seconds before a broker that is away is asked again."""

T = TypeVar("T")


class DeliveryError(RuntimeError):
    """Messages that the broker did not take; the text says how many and why."""


class ReliableProducer:
    """Sends messages, each delivered once, those of a partition in their order.

    While the broker is away messages wait in memory, up to BUFFER_BYTES; then `send`
    waits for room. May be used from several threads; while one waits for all messages
    to arrive the others wait with it, so that there is an end of them.
    """

    def __init__(self, broker: KafkaClient, stopping: Callable[[], bool] = lambda: False) -> None:
        self._producer = broker.producer(self._on_error)
        self._stopping = stopping
        self._lock = threading.RLock()
        self._failed = 0
        self._why = ""

    def send(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: str,
        timestamp_ms: int,
        headers: list[tuple[str, str | bytes | None]],
    ) -> None:
        """Hand one message over."""
        with self._lock:
            while True:
                try:
                    self._producer.produce(
                        topic,
                        value,
                        key,
                        partition,
                        on_delivery=self._on_delivery,
                        timestamp=timestamp_ms,
                        headers=headers,
                    )
                except BufferError:
                    self._make_room()
                else:
                    return

    def send_all(self, topic: str, partition: int, messages: list[dict[str, Any]]) -> None:
        """Hand messages over: each a dictionary of value, key and timestamp (ms)."""
        with self._lock:
            self._send_all(topic, partition, messages)

    def _send_all(self, topic: str, partition: int, left: list[dict[str, Any]]) -> None:
        while left:
            self._producer.produce_batch(topic, left, partition, self._on_delivery)
            refused = [(message, message.pop("_error")) for message in left if "_error" in message]
            for _, error in refused:
                if error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - the library's name
                    raise DeliveryError(f"a message for {topic} was refused: {error.str()}")
            left = [message for message, _ in refused]
            if left:
                self._make_room()
        self._producer.poll(0)

    def poll(self) -> None:
        """Let the client speak. Raises DeliveryError if something could not be delivered."""
        self._producer.poll(0)
        self._check()

    def retry_while_unavailable(self, action: Callable[[], T]) -> T:
        """What the action gives, tried again while the broker is away, as messages wait.

        Raises BrokerAwayError once the process was asked to stop.
        """
        while True:
            try:
                return action()
            except BrokerAwayError as error:
                if self._stopping():
                    raise
                log.warning("%s; trying again", error)
            self._producer.poll(_PAUSE)

    def waiting(self) -> int:
        """How many messages the broker has not yet taken."""
        return len(self._producer)

    def flush(self) -> None:
        """Return when the broker has all messages. Raises DeliveryError."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        asked: float | None = None
        while self._producer.flush(0.2):
            self._check()
            if self._stopping():
                asked = asked or time.monotonic()
                if time.monotonic() - asked > _PATIENCE:
                    raise DeliveryError(f"{self.waiting():,} messages are undelivered at the stop")
        self._check()

    def _make_room(self) -> None:
        self._producer.poll(0.05)
        self._check()
        if self._stopping():
            self._flush()

    def _check(self) -> None:
        if self._failed:
            raise DeliveryError(f"{self._failed:,} messages were not delivered: {self._why}")

    def _on_delivery(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failed += 1
            self._why = error.str()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failed += 1
            self._why = error.str()
        else:
            log.warning("broker: %s", error.str())
