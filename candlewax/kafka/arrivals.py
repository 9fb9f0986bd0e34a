"""How long it takes until the broker has what was handed to a producer."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from prometheus_client import Histogram

from candlewax.runtime.metrics import DELAYS

PRODUCED: Final = Histogram(
    "candlewax_received_to_produced_seconds",
    "From the receipt of a batch's oldest frame until the broker has the whole batch.",
    ["exchange"],
    buckets=DELAYS,
)


_GLANCE: Final = 0.01
"""Seconds between two looks at what has not arrived."""


class Arrivals:
    """Tells from how many messages a producer still holds which batches have arrived: it
    is asked to report failures only, and sends the messages of a partition in order.
    """

    def __init__(self, waiting: Callable[[], int], now: Callable[[], float] = time.time) -> None:
        self._waiting = waiting
        self._now = now
        self._lock = threading.Lock()
        self._sent = 0
        self._marks: deque[tuple[int, str, float]] = deque()
        self._more = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)

    def sent(self, exchange: str, count: int, oldest_s: float) -> None:
        """So many messages were handed over, the first received at `oldest_s`, seconds
        since 1970.
        """
        with self._lock:
            self._sent += count
            self._marks.append((self._sent, exchange, oldest_s))
        self._more.set()
        if self._thread.ident is None:
            self._thread.start()

    def settle(self) -> None:
        """Tell of all batches that have arrived."""
        with self._lock:
            arrived = self._sent - self._waiting()
            while self._marks and self._marks[0][0] <= arrived:
                _, exchange, oldest_s = self._marks.popleft()
                PRODUCED.labels(exchange).observe(max(0.0, self._now() - oldest_s))
            if not self._marks:
                self._more.clear()

    def _run(self) -> None:
        while self._more.wait():
            self.settle()
            time.sleep(_GLANCE)
