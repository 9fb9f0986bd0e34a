"""What comes and what was just stored, handed from the pipeline to the thread that serves."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from candlewax.core.batch import Batch
from candlewax.runtime.clocks import steady_clock

MOST_ROWS: Final = 200_000
"""Rows that may wait to be shown. A page shows the latest; what finds no room is read
from the tables again."""


MOST_COMING: Final = 1_000
"""Batches that come and wait to be shown."""


Awaited = Callable[[Batch, bool], bool]
"""Whether somebody waits for a batch, and is to be woken; it is said if it came before, and
is known since."""


def _always(_: Batch, known: bool) -> bool:  # noqa: ARG001, FBT001 - as it is called
    return True


@dataclass(frozen=True)
class DrainedBatches:
    """What was stored since the last time: batches with the time (microseconds since
    1970) each was stored; `dropped` if some found no room. `coming` are those that are
    about to be stored, `known` the ids of those stored that were among them before.
    """

    batches: Sequence[tuple[int, Batch]] = field(default_factory=list)
    dropped: bool = False
    coming: Sequence[Batch] = ()
    known: Collection[int] = ()


class BatchQueue:
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
        self._awaited: Awaited = _always
        self._woken = False

    def listen(self, wake: Callable[[], None], awaited: Awaited = _always) -> None:
        """Have `wake` called, from any thread, when something is there that is `awaited`: once
        until it is taken.
        """
        self._wake, self._awaited = wake, awaited

    def come(self, batch: Batch) -> None:
        """A batch is about to be stored."""
        with self._lock:
            self._coming.append(batch)
            self._unstored[id(batch)] = batch
        self._tell(batch, known=False)

    @property
    def unstored(self) -> list[Batch]:
        """What came and is not stored yet."""
        with self._lock:
            return list(self._unstored.values())

    def put(self, batches: Sequence[Batch]) -> None:
        """Hand over what is stored."""
        now = steady_clock()
        known = []
        with self._lock:
            for batch in batches:
                known.append(self._unstored.pop(id(batch), None) is not None)
                if known[-1]:
                    self._known.add(id(batch))
                self._waiting.append((now, batch))
                self._rows += batch.rows
            while self._rows > self._most and self._waiting:
                _, old = self._waiting.popleft()
                self._rows -= old.rows
                self._known.discard(id(old))
                self._dropped = True
        for batch, came in zip(batches, known, strict=True):
            self._tell(batch, known=came)

    def _tell(self, batch: Batch, *, known: bool) -> None:
        if not self._woken and self._awaited(batch, known):
            # Before it is called: who is woken takes, and is to be woken again.
            self._woken = True
            self._wake()

    def take(self) -> DrainedBatches:
        """All that waits."""
        # First: what comes meanwhile wakes again, if in vain.
        self._woken = False
        with self._lock:
            coming = list(self._coming)
            taken = DrainedBatches(list(self._waiting), self._dropped, coming, self._known)
            self._known = set()
            self._waiting.clear()
            self._coming.clear()
            self._rows = 0
            self._dropped = False
        return taken
