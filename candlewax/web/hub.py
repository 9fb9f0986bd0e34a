"""What comes and what was just stored, handed from the pipeline to the thread that serves."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from candlewax.batch import Batch

MOST_ROWS: Final = 200_000
"""Rows that may wait to be shown. A page shows the latest; what finds no room is read
from the tables again."""


MOST_COMING: Final = 1_000
"""Batches that come and wait to be shown."""


@dataclass(frozen=True)
class Taken:
    """What was stored since the last time: batches with the time (microseconds since
    1970) each was stored; `dropped` if some found no room. `coming` are those that are
    about to be stored, `known` the ids of those stored that were among them before.
    """

    batches: Sequence[tuple[int, Batch]] = field(default_factory=list)
    dropped: bool = False
    coming: Sequence[Batch] = ()
    known: Collection[int] = ()


class Hub:
    """Batches that come or were stored, and were not yet shown.

    Nothing here ever waits: if nobody takes, the oldest are forgotten. Delivery: at most
    once, in their order; who takes is told if something was dropped that was stored.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most = most_rows
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Batch]] = deque()
        self._rows = 0
        self._dropped = False
        self._coming: deque[Batch] = deque(maxlen=MOST_COMING)
        self._unstored: dict[int, Batch] = {}
        self._known: set[int] = set()
        self._wake: Callable[[], None] = lambda: None

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, when something comes while nothing waited."""
        self._wake = wake

    def come(self, batch: Batch) -> None:
        """A batch is about to be stored."""
        with self._lock:
            first = not (self._waiting or self._coming)
            self._coming.append(batch)
            self._unstored[id(batch)] = batch
        if first:
            self._wake()

    @property
    def unstored(self) -> list[Batch]:
        """What came and is not stored yet."""
        with self._lock:
            return list(self._unstored.values())

    def put(self, batches: Sequence[Batch]) -> None:
        """Hand over what is stored."""
        now = time.time_ns() // 1000
        with self._lock:
            first = not (self._waiting or self._coming)
            for batch in batches:
                if self._unstored.pop(id(batch), None):
                    self._known.add(id(batch))
                self._waiting.append((now, batch))
                self._rows += batch.rows
            while self._rows > self._most and self._waiting:
                _, old = self._waiting.popleft()
                self._rows -= old.rows
                self._known.discard(id(old))
                self._dropped = True
        if first:
            self._wake()

    def take(self) -> Taken:
        """All that waits."""
        with self._lock:
            coming = list(self._coming)
            taken = Taken(list(self._waiting), self._dropped, coming, self._known)
            self._known = set()
            self._waiting.clear()
            self._coming.clear()
            self._rows = 0
            self._dropped = False
        return taken
