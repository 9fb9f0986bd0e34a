"""Queue of batches from the pipeline to the thread of the web server."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from candlewax.core.batch import Batch
from candlewax.runtime.clocks import steady_clock

MOST_ROWS: Final = 200_000
"""Rows that may wait to be shown. Pages show the latest rows; dropped ones are read from the
tables."""


MOST_ANNOUNCED: Final = 1_000
"""Announced batches that may wait to be shown."""


IsAwaited = Callable[[Batch, bool], bool]
"""Returns whether the listener must be woken for a batch; the flag says if it was announced."""


def _always(_: Batch, was_announced: bool) -> bool:  # noqa: ARG001, FBT001 - an IsAwaited
    return True


@dataclass(frozen=True)
class DrainedBatches:
    """Batches since the last drain.

    `batches` were stored, each with its time in microseconds since 1970. `has_dropped` tells that
    some were dropped. `announced` are about to be stored. `announced_ids` are the ids of those
    stored batches that were announced before.
    """

    batches: Sequence[tuple[int, Batch]] = field(default_factory=list)
    has_dropped: bool = False
    announced: Sequence[Batch] = ()
    announced_ids: Collection[int] = ()


class BatchQueue:
    """Announced and stored batches that were not shown yet.

    Never blocks: if nothing drains it, the oldest batches are dropped. Delivery: at most once, in
    order; the reader is told if stored batches were dropped.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most = most_rows
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Batch]] = deque()
        self._rows = 0
        self._has_dropped = False
        self._announced: deque[Batch] = deque(maxlen=MOST_ANNOUNCED)
        self._unstored: dict[int, Batch] = {}
        self._announced_ids: set[int] = set()
        self._wake: Callable[[], None] = lambda: None
        self._is_awaited: IsAwaited = _always
        self._is_woken = False

    def listen(self, wake: Callable[[], None], is_awaited: IsAwaited = _always) -> None:
        """Have `wake` called from any thread when an awaited batch arrives, once per drain."""
        self._wake, self._is_awaited = wake, is_awaited

    def announce(self, batch: Batch) -> None:
        """Add a batch that is about to be stored."""
        with self._lock:
            self._announced.append(batch)
            self._unstored[id(batch)] = batch
        self._wake_listener(batch, was_announced=False)

    @property
    def unstored(self) -> list[Batch]:
        """Return the announced batches that are not stored yet."""
        with self._lock:
            return list(self._unstored.values())

    def put(self, batches: Sequence[Batch]) -> None:
        """Add batches that were stored."""
        now = steady_clock()
        were_announced = []
        with self._lock:
            for batch in batches:
                were_announced.append(self._unstored.pop(id(batch), None) is not None)
                if were_announced[-1]:
                    self._announced_ids.add(id(batch))
                self._waiting.append((now, batch))
                self._rows += batch.rows
            while self._rows > self._most and self._waiting:
                _, old = self._waiting.popleft()
                self._rows -= old.rows
                self._announced_ids.discard(id(old))
                self._has_dropped = True
        for batch, was_announced in zip(batches, were_announced, strict=True):
            self._wake_listener(batch, was_announced=was_announced)

    def _wake_listener(self, batch: Batch, *, was_announced: bool) -> None:
        if not self._is_woken and self._is_awaited(batch, was_announced):
            # Set before the call: the listener drains, and must be woken again afterwards.
            self._is_woken = True
            self._wake()

    def drain(self) -> DrainedBatches:
        """Remove and return all waiting batches."""
        # Reset first: a batch that arrives meanwhile wakes again, at worst in vain.
        self._is_woken = False
        with self._lock:
            announced = list(self._announced)
            drained = DrainedBatches(
                list(self._waiting), self._has_dropped, announced, self._announced_ids
            )
            self._announced_ids = set()
            self._waiting.clear()
            self._announced.clear()
            self._rows = 0
            self._has_dropped = False
        return drained
