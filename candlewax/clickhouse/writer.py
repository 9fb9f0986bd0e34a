"""Writer of batches: a thread that stores them in blocks."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from candlewax.clickhouse.block_store import BlockStore
from candlewax.clickhouse.client import Database
from candlewax.clickhouse.frame_journal import FrameJournal
from candlewax.clickhouse.recompute import CandleRecomputer
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.batch import Batch
from candlewax.core.rows.columns import merge_rows
from candlewax.core.rows.forming import FormingCandles
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.runtime.counters import Counters
from candlewax.runtime.cpu import count_cores

BLOCK_ROWS: Final = 200_000
"""Pending rows of all tables together at which a block is stored at once, and `put` waits."""

BLOCK_BYTES: Final = 128 << 20

FIRST_ROWS: Final = 100_000
"""Pending rows at which an idle writer stores a block without waiting for more."""

MAX_WAIT_S: Final = 1.0
"""Seconds that rows wait for more once they are more than UNDELAYED_ROWS."""

UNDELAYED_ROWS: Final = 5_000
"""Pending rows up to which the writer does not wait for more."""

INTERVAL_S: Final = 1.0
"""Seconds between two blocks of few rows for which nobody waits, or whose readers flush."""

CANDLE_INTERVAL_S: Final = 0.1
"""Seconds between two blocks of few rows with candles, in a server that anybody reads."""

COALESCE_S: Final = 0.001
"""Seconds that the writer waits for batches handed over at the same moment."""


class Writer:
    """Writer of batches, in a background thread if the process has a second core.

    An insert releases the interpreter's lock, so it overlaps with decoding on a second core. On
    one core the two would only alternate, so `put` stores in place. The next call raises a
    failure of the background thread.
    """

    def __init__(
        self,
        database: Database,
        counters: Counters,
        *,
        history: StateLoader | None = None,
        background: bool | None = None,
        before: Callable[[], None] = lambda: None,
        after: Callable[[Sequence[Batch]], None] = lambda _: None,
        after_recompute: Callable[[Sequence[Batch]], None] = lambda _: None,
        wait: Callable[[float], object] = time.sleep,
        interval_s: float = 0.0,
        holds_forming: bool = False,
        journal: FrameJournal | None = None,
    ) -> None:
        """`before` is called before each block is stored; an error in it is a failure to store.

        `after` is called with the stored batches as columns, those of an exchange in their order;
        `after_recompute` with the rows of recomputed candles. Neither must wait.

        Blocks of few rows begin `interval_s` apart at least, unless `flush` is called; the first
        one after a pause does not wait. With `holds_forming` forming candles wait until one closes
        or `flush` is called: only for a database that nobody reads without calling it. The
        `journal` holds the frames that wait.
        """
        recompute = CandleRecomputer(history or StateLoader(database, wait=wait)).recompute
        self._block_store = BlockStore(database, counters, recompute, wait)
        self._before = before
        self._after = after
        self._after_recompute = after_recompute
        self._interval_s = interval_s
        self._holds_forming = holds_forming
        self._journal = journal
        self._handed_over = self._taken = self._stored = self._flushed = 0
        self._signal = threading.Condition()
        self._pending: list[AnyBatch] = []
        self._forming = FormingCandles()
        self._rows = self._bytes = 0
        self._since = 0.0
        self._taken_at = -math.inf
        self._is_storing = self._has_more_inserts = self._is_closed = False
        self._failure: BaseException | None = None
        if background is None:
            background = count_cores() > 1
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._has_thread = background
        if background:
            self._thread.start()

    def put(self, batch: AnyBatch) -> None:
        """Hand a batch over. Wait while a whole block is pending."""
        size_bytes, rows = batch.estimated_bytes, batch.rows
        with self._signal:
            self._signal.wait_for(lambda: self._failure or not self._is_full())
            self._raise_failure()
            if self._journal:
                self._journal.append(batch)
            is_first = not self._pending
            if is_first:
                self._since = time.monotonic()
            self._pending.append(batch)
            self._handed_over += 1
            self._rows += rows
            self._bytes += size_bytes
            # Within an interval the thread sleeps on: waking up costs more than a row.
            if is_first or not self._interval_s or self._is_ready():
                self._signal.notify_all()
            if not self._has_thread and (self._is_full() or self._waited_s() >= MAX_WAIT_S):
                self._store_here()

    def is_backlogged(self) -> bool:
        """Return True if a few more rows would only wait for the block that is being stored.

        False during its last insert if no rows are pending, and with more than UNDELAYED_ROWS
        pending or in the block: rows then come many at once. False after a failure.
        """
        if self._failure or not self._is_storing or self._rows > UNDELAYED_ROWS:
            return False
        if self._interval_s:
            return False
        return self._has_more_inserts or self._rows > 0

    def flush(self, timeout_s: float | None = None) -> None:
        """Return when all that was handed over so far is stored, forming candles too, or the time
        has passed.
        """
        with self._signal:
            if not self._has_thread:
                self._store_here(is_asked=True)
                return
            if self._forming and not self._pending:
                self._pending += self._forming.release()
                self._handed_over += len(self._pending)
                self._since = time.monotonic()
            target = self._handed_over
            self._flushed = max(self._flushed, target)
            self._signal.notify_all()
            self._signal.wait_for(lambda: self._failure or self._stored >= target, timeout_s)
            self._raise_failure()

    def close(self) -> None:
        """End the thread. Batches that were not flushed are dropped."""
        with self._signal:
            self._is_closed = True
            self._signal.notify_all()
        if self._has_thread:
            self._thread.join()

    def _raise_failure(self) -> None:
        if self._failure:
            raise RuntimeError("storing failed") from self._failure

    def _is_full(self) -> bool:
        return self._rows >= BLOCK_ROWS or self._bytes >= BLOCK_BYTES

    def _waited_s(self) -> float:
        return time.monotonic() - self._since

    def _take_pending(self, *, is_asked: bool = False) -> list[AnyBatch]:
        """Return what to store now; `is_asked` by a flush, for all that was handed over."""
        batches, self._pending = self._pending, []
        self._rows = self._bytes = 0
        self._taken = len(batches)
        self._taken_at = time.monotonic()
        if self._holds_forming:
            batches = self._forming.hold(batches) + (self._forming.release() if is_asked else [])
        if self._journal:
            self._journal.switch()
        return batches

    def _run(self) -> None:
        try:
            while batches := self._wait_for_batches():
                self._store(batches)
                with self._signal:
                    self._is_storing = False
                    self._stored += self._taken
                    if self._journal:
                        self._journal.empty_other()
                    self._signal.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for it
            with self._signal:
                self._failure = error
                self._signal.notify_all()

    def _wait_for_batches(self) -> list[AnyBatch]:
        """Wait for batches and return them; none if the writer was closed."""
        with self._signal:
            self._signal.wait_for(lambda: self._pending or self._is_closed)
            self._signal.wait_for(self._is_ready, timeout=self._wait_s())
            if self._rows > UNDELAYED_ROWS:
                self._signal.wait_for(
                    self._is_ready, timeout=max(0.0, MAX_WAIT_S - self._waited_s())
                )
            if self._is_closed:
                return []
            self._is_storing = True
            self._has_more_inserts = self._rows <= UNDELAYED_ROWS
            batches = self._take_pending(is_asked=self._flushed > self._stored)
            self._signal.notify_all()
            return batches

    def _wait_s(self) -> float:
        """Return the seconds that few rows still wait for others."""
        due_at = max(self._since + COALESCE_S, self._taken_at + self._interval_s)
        return max(0.0, due_at - time.monotonic())

    def _is_ready(self) -> bool:
        return (
            self._rows >= FIRST_ROWS
            or self._is_full()
            or self._flushed > self._stored
            or self._is_closed
        )

    def _store_here(self, *, is_asked: bool = False) -> None:
        """Store what is pending in the calling thread."""
        self._store(self._take_pending(is_asked=is_asked))
        if self._journal:
            self._journal.empty_other()

    def _store(self, pending: list[AnyBatch]) -> None:
        self._before()
        batches = merge_rows(pending)
        recomputed = self._block_store.store(batches, self._note_last_insert)
        self._after(batches)
        if recomputed:
            self._after_recompute(recomputed)

    def _note_last_insert(self) -> None:
        self._has_more_inserts = False
