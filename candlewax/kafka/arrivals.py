"""Latency from the receipt of frames to their delivery to the broker."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from prometheus_client import Histogram

from candlewax.runtime.metrics import DELAYS

PRODUCED: Final = Histogram(
    "candlewax_received_to_produced_seconds",
    "Seconds from the receipt of a batch's oldest frame until the broker has the whole batch.",
    ["exchange"],
    buckets=DELAYS,
)


_CHECK_INTERVAL_S: Final = 0.01
"""Seconds between two checks while messages are undelivered."""


class DeliveryLatency:
    """Observer of delivery latency, from the number of messages that a producer still holds.

    The producer reports failed deliveries only, and sends the messages of a partition in order.
    So a batch counts as delivered once no more messages are undelivered than were sent after it.
    """

    def __init__(
        self, count_undelivered: Callable[[], int], now: Callable[[], float] = time.time
    ) -> None:
        self._count_undelivered = count_undelivered
        self._now = now
        self._lock = threading.Lock()
        self._sent_count = 0
        self._batches: deque[tuple[int, str, float]] = deque()
        self._has_batches = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery-times", daemon=True)

    def record_sent(self, exchange: str, count: int, oldest_s: float) -> None:
        """Record a batch of `count` messages that was handed to the producer.

        `oldest_s` is the time of receipt of its oldest frame, in seconds since 1970.
        """
        with self._lock:
            self._sent_count += count
            self._batches.append((self._sent_count, exchange, oldest_s))
        self._has_batches.set()
        if self._thread.ident is None:
            self._thread.start()

    def observe_delivered(self) -> None:
        """Observe the latency of all batches that were delivered since the last call."""
        with self._lock:
            delivered = self._sent_count - self._count_undelivered()
            while self._batches and self._batches[0][0] <= delivered:
                _, exchange, oldest_s = self._batches.popleft()
                PRODUCED.labels(exchange).observe(max(0.0, self._now() - oldest_s))
            if not self._batches:
                self._has_batches.clear()

    def _run(self) -> None:
        while self._has_batches.wait():
            self.observe_delivered()
            time.sleep(_CHECK_INTERVAL_S)
