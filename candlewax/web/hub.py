"""What was just stored, handed from the thread that stores to the one that serves."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from candlewax.batch import Batch

MOST_ROWS: Final = 200_000
"""Rows that may wait to be shown. A page shows the latest; what finds no room is read
from the tables again."""


@dataclass(frozen=True)
class Taken:
    """What was stored since the last time: batches with the time (microseconds since
    1970) each was stored. `dropped` if some found no room.
    """

    batches: Sequence[tuple[int, Batch]] = field(default_factory=list)
    dropped: bool = False


class Hub:
    """Batches that were stored and not yet shown.

    `put` never waits: if nobody takes, the oldest are forgotten. Delivery: at most
    once, in the order of storing; who takes is told if something was dropped.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most = most_rows
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Batch]] = deque()
        self._rows = 0
        self._dropped = False
        self._wake: Callable[[], None] = lambda: None

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, when something comes while nothing waited."""
        self._wake = wake

    def put(self, batches: Sequence[Batch]) -> None:
        """Hand over what is stored."""
        now = time.time_ns() // 1000
        with self._lock:
            first = not self._waiting
            for batch in batches:
                self._waiting.append((now, batch))
                self._rows += batch.rows
            while self._rows > self._most and self._waiting:
                _, old = self._waiting.popleft()
                self._rows -= old.rows
                self._dropped = True
        if first:
            self._wake()

    def take(self) -> Taken:
        """All that waits."""
        with self._lock:
            taken = Taken(list(self._waiting), self._dropped)
            self._waiting.clear()
            self._rows = 0
            self._dropped = False
        return taken
