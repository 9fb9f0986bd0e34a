"""Thread that makes frames and may block, and the source partition that takes them."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from bytewax.inputs import StatefulSourcePartition

from candlewax.core.frames import SourceItem
from candlewax.feeds.frame_buffer import Row, to_source_items
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures
from candlewax.runtime.poll_timer import ALWAYS, PollTimer, worker_group

MAX_WAIT: Final = timedelta(milliseconds=20)
"""Time between two batches of a partition."""

_JOIN_S: Final = 5.0
"""Timeout of the join of a thread; a request in progress may take longer."""

_TICK_S: Final = 0.1


class WorkerStopped(Exception):  # noqa: N818 - not an error
    """Signal to a worker thread that it should end."""


class WorkerThread:
    """Thread that makes frames. Its `put` blocks while `max_queued` frames are queued."""

    def __init__(self, name: str, work: Callable[["WorkerThread"], None], max_queued: int) -> None:
        self._work = work
        self._rows: deque[Row] = deque()
        self._free_slots = threading.Semaphore(max_queued)
        self._stop = threading.Event()
        self.ended = False
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    # Called by the partition.

    def start(self, on_input: Callable[[], object]) -> None:
        """Start the thread; it calls `on_input` after it has queued a frame, and at its end."""
        self._on_input = on_input
        self._thread.start()

    @property
    def has_frames(self) -> bool:
        """Return True if frames are queued."""
        return bool(self._rows)

    def take(self) -> list[Row]:
        """Remove and return the queued frames, in order."""
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        for _ in rows:
            self._free_slots.release()
        return rows

    def stop(self) -> None:
        """Signal the thread to end."""
        self._stop.set()

    def join(self) -> None:
        """Signal the thread to end, and wait for it up to a timeout."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    # Called by the thread.

    def put(self, row: Row) -> None:
        """Queue a frame; block while the queue is full. Raises WorkerStopped."""
        while not self._free_slots.acquire(timeout=_TICK_S):
            if self._stop.is_set():
                raise WorkerStopped
        self._rows.append(row)
        self._on_input()

    def wait(self, seconds: float) -> bool:
        """Wait. Return False if the thread should end."""
        return not self._stop.wait(seconds)

    def pause(self, seconds: float) -> None:
        """Wait. Raises WorkerStopped."""
        if not self.wait(seconds):
            raise WorkerStopped

    def _run(self) -> None:
        try:
            self._work(self)
        except WorkerStopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by the partition
            self.failure = error
        finally:
            self.ended = True
            self._on_input()


@log_failures
class WorkerPartition(StatefulSourcePartition[SourceItem, None]):
    """Source partition that emits the frames of a worker thread, and ends with it."""

    def __init__(
        self,
        exchange: str,
        worker: WorkerThread,
        counters: Counters,
        should_stop: Callable[[], bool],
    ) -> None:
        self._exchange = exchange
        self._worker = worker
        self._counters = counters
        self._should_stop = should_stop
        group = worker_group()
        self._poll_timer = PollTimer(group, lambda: worker.has_frames or worker.ended)
        worker.start(group.wake)

    def next_batch(self) -> Iterable[SourceItem]:
        should_stop = self._should_stop()
        if should_stop:
            self._worker.stop()
        if not self._poll_timer.is_due():
            return []
        # Read before the queue: if the thread has ended, the queue holds all that is left.
        ended = self._worker.ended
        if self._worker.failure:
            raise RuntimeError(f"{self._exchange}: asking failed") from self._worker.failure
        rows = self._worker.take()
        if ended and not rows:
            self._counters.ended = self._counters.ended or not should_stop
            raise StopIteration
        if rows:
            self._poll_timer.mark_emitted()
        self._poll_timer.schedule(MAX_WAIT)
        return to_source_items(self._exchange, rows)

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self._poll_timer.close()
        self._worker.join()
