"""Queue of batches from the pipeline to the thread of the web server."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from candlewax.core.batch import Batch
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.runtime.clocks import steady_clock

MOST_ROWS: Final = 200_000
"""Rows that may wait to be shown. Pages show the latest rows; dropped ones are read from the
tables."""


MOST_ANNOUNCED: Final = 1_000
"""Announced batches that may wait to be shown."""


IsAwaited = Callable[[AnyBatch, bool], bool]
"""Returns whether the listener must be woken for a batch; the flag says that it was announced
before and is stored now."""


def _always(_: AnyBatch, was_announced: bool) -> bool:  # noqa: ARG001, FBT001 - an IsAwaited
    return True


@dataclass(frozen=True)
class DrainedBatches:
    """Batches since the last drain.

    `batches` were stored, each with its time in microseconds since 1970. `has_dropped` tells that
    some were dropped. `announced` are about to be stored. `unannounced` are those stored batches
    that were not announced before. `unstored` are all announced batches, drained now or before,
    whose trades are not stored yet.
    """

    batches: Sequence[tuple[int, Batch]] = field(default_factory=list)
    has_dropped: bool = False
    announced: Sequence[AnyBatch] = ()
    unannounced: Sequence[Batch] = ()
    unstored: Sequence[AnyBatch] = ()


class BatchQueue:
    """Announced and stored batches that were not shown yet.

    Never blocks: if nothing drains it, the oldest batches are dropped. Delivery: at most once, in
    order; the reader is told if batches were dropped.

    Several announced batches of rows may be stored as one batch of columns. So the queue counts
    the trades of an exchange to know which batches are stored.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most = most_rows
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Batch, bool]] = deque()
        self._rows = 0
        self._has_dropped = False
        self._announced: deque[AnyBatch] = deque()
        self._unstored: deque[tuple[int, AnyBatch]] = deque(maxlen=MOST_ANNOUNCED)
        self._announced_trades: Counter[str] = Counter()
        self._stored_trades: Counter[str] = Counter()
        self._wake: Callable[[], None] = lambda: None
        self._is_awaited: IsAwaited = _always
        self._is_woken = False

    def listen(self, wake: Callable[[], None], is_awaited: IsAwaited = _always) -> None:
        """Have `wake` called from any thread when an awaited batch arrives, once per drain."""
        self._wake, self._is_awaited = wake, is_awaited

    def announce(self, batch: AnyBatch) -> None:
        """Add a batch that is about to be stored."""
        if isinstance(batch, RowBatch) and not (batch.trades or batch.candles):
            return
        with self._lock:
            self._announced.append(batch)
            if len(self._announced) > MOST_ANNOUNCED:
                self._announced.popleft()
                self._has_dropped = True
            if trades := _count_trades(batch):
                self._announced_trades[batch.exchange] += trades
                self._unstored.append((self._announced_trades[batch.exchange], batch))
        self._wake_listener(batch, was_announced=False)

    def put_announced(self, batches: Sequence[Batch]) -> None:
        """Add stored batches, which hold what was announced."""
        self._put(batches, were_announced=True)

    def put(self, batches: Sequence[Batch]) -> None:
        """Add stored batches that were not announced."""
        self._put(batches, were_announced=False)

    def _put(self, batches: Sequence[Batch], *, were_announced: bool) -> None:
        now = steady_clock()
        with self._lock:
            for batch in batches:
                self._waiting.append((now, batch, were_announced))
                self._rows += batch.rows
                if were_announced:
                    self._stored_trades[batch.exchange] += _count_trades(batch)
            if were_announced:
                self._drop_stored()
            while self._rows > self._most and self._waiting:
                self._rows -= self._waiting.popleft()[1].rows
                self._has_dropped = True
        for batch in batches:
            self._wake_listener(batch, was_announced=were_announced)

    def _drop_stored(self) -> None:
        stored = self._stored_trades
        unstored = [(n, batch) for n, batch in self._unstored if n > stored[batch.exchange]]
        if len(unstored) < len(self._unstored):
            self._unstored = deque(unstored, maxlen=MOST_ANNOUNCED)

    def _wake_listener(self, batch: AnyBatch, *, was_announced: bool) -> None:
        if not self._is_woken and self._is_awaited(batch, was_announced):
            # Set before the call: the listener drains, and must be woken again afterwards.
            self._is_woken = True
            self._wake()

    def drain(self) -> DrainedBatches:
        """Remove and return all waiting batches."""
        # Reset first: a batch that arrives meanwhile wakes again, at worst in vain.
        self._is_woken = False
        with self._lock:
            drained = DrainedBatches(
                [(time_us, batch) for time_us, batch, _ in self._waiting],
                self._has_dropped,
                list(self._announced),
                [batch for _, batch, was_announced in self._waiting if not was_announced],
                [batch for _, batch in self._unstored],
            )
            self._waiting.clear()
            self._announced.clear()
            self._rows = 0
            self._has_dropped = False
        return drained


def _count_trades(batch: AnyBatch) -> int:
    """Return how many trades of a batch are stored with it."""
    if isinstance(batch, RowBatch):
        return len(batch.trades)
    return batch.trades.height if "silver_trades" in batch.tables else 0
