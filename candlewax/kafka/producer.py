"""Producer that confirms the delivery of each message."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError

from candlewax.kafka.client import BrokerAwayError, KafkaClient, log

_STOP_TIMEOUT_S: Final = 8.0
"""Seconds to wait for undelivered messages once the process should stop."""

_RETRY_INTERVAL_S: Final = 0.5
"""Seconds before a request to an unavailable broker is repeated."""

T = TypeVar("T")


class DeliveryError(RuntimeError):
    """Messages that were not delivered; the text says how many and why."""


class ReliableProducer:
    """Producer that delivers each message once, those of a partition in their order.

    While the broker is unavailable, up to BUFFER_BYTES of messages wait in memory; then `send`
    waits. Any thread may use it. While one thread flushes, the others cannot send, so that the
    flush ends.
    """

    def __init__(
        self, broker: KafkaClient, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._producer = broker.producer(self._on_error)
        self._should_stop = should_stop
        self._lock = threading.RLock()
        self._failed_count = 0
        self._reason = ""

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
                    self._wait_for_space()
                else:
                    return

    def send_all(self, topic: str, partition: int, messages: list[dict[str, Any]]) -> None:
        """Hand over messages: dictionaries of `value`, `key` and `timestamp` (ms)."""
        with self._lock:
            self._send_all(topic, partition, messages)

    def _send_all(self, topic: str, partition: int, messages: list[dict[str, Any]]) -> None:
        while messages:
            self._producer.produce_batch(topic, messages, partition, self._on_delivery)
            refused = [(each, each.pop("_error")) for each in messages if "_error" in each]
            for _, error in refused:
                if error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - the library's name
                    raise DeliveryError(f"a message for {topic} was refused: {error.str()}")
            messages = [message for message, _ in refused]
            if messages:
                self._wait_for_space()
        self._producer.poll(0)

    def poll(self) -> None:
        """Run the client's callbacks. Raises DeliveryError if a delivery has failed."""
        self._producer.poll(0)
        self._raise_failures()

    def retry_while_unavailable(self, action: Callable[[], T]) -> T:
        """Return the result of an action; retry while the broker is unavailable.

        Raises BrokerAwayError if the broker is unavailable and the process should stop.
        """
        while True:
            try:
                return action()
            except BrokerAwayError as error:
                if self._should_stop():
                    raise
                log.warning("%s; trying again", error)
            self._producer.poll(_RETRY_INTERVAL_S)

    def count_undelivered(self) -> int:
        """Return the number of messages that are not delivered yet."""
        return len(self._producer)

    def flush(self) -> None:
        """Return when all messages are delivered. Raises DeliveryError."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        stopping_since: float | None = None
        while self._producer.flush(0.2):
            self._raise_failures()
            if self._should_stop():
                stopping_since = stopping_since or time.monotonic()
                if time.monotonic() - stopping_since > _STOP_TIMEOUT_S:
                    count = self.count_undelivered()
                    raise DeliveryError(f"{count:,} messages are undelivered at the stop")
        self._raise_failures()

    def _wait_for_space(self) -> None:
        self._producer.poll(0.05)
        self._raise_failures()
        if self._should_stop():
            self._flush()

    def _raise_failures(self) -> None:
        if self._failed_count:
            raise DeliveryError(
                f"{self._failed_count:,} messages were not delivered: {self._reason}"
            )

    def _on_delivery(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failed_count += 1
            self._reason = error.str()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failed_count += 1
            self._reason = error.str()
        else:
            log.warning("broker: %s", error.str())
