"""Frames from a thread that waits for others to workers that never wait."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from bytewax.inputs import StatefulSourcePartition

from candlewax.core.frames import SourceItem
from candlewax.feeds.frame_buffer import Row, feed
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import ALWAYS, PULSE, Looks
from candlewax.runtime.errors import log_failures

LINGER: Final = timedelta(milliseconds=20)
"""Time between two looks of a worker at what came."""

_JOIN_S: Final = 5.0
"""How long the end of a thread is waited for; a request under way may take longer."""

_TICK_S: Final = 0.1


class WorkerStopped(Exception):  # noqa: N818 - nothing is wrong
    """Nobody wants the frames any more."""


class WorkerThread:
    """A thread that makes frames. At most `waiting` of them wait to be taken; then it
    waits.
    """

    def __init__(self, name: str, work: Callable[["WorkerThread"], None], waiting: int) -> None:
        self._work = work
        self._rows: deque[Row] = deque()
        self._room = threading.Semaphore(waiting)
        self._stop = threading.Event()
        self.ended = False
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    # What the worker uses.

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self) -> list[Row]:
        """What came, in order."""
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        for _ in rows:
            self._room.release()
        return rows

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stop.set()

    def join(self) -> None:
        """Wait for its end, but not for ever."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    # What the thread uses.

    def put(self, row: Row) -> None:
        """Hand a frame over. Raises WorkerStopped."""
        while not self._room.acquire(timeout=_TICK_S):
            if self._stop.is_set():
                raise WorkerStopped
        self._rows.append(row)

    def wait(self, seconds: float) -> bool:
        """Wait; tells whether to go on."""
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
        except BaseException as error:  # noqa: BLE001 - raised in the thread that takes
            self.failure = error
        finally:
            self.ended = True


@log_failures
class WorkerPartition(StatefulSourcePartition[SourceItem, None]):
    """A part of a source that takes from an outlet, and ends with it."""

    def __init__(
        self, exchange: str, outlet: WorkerThread, tally: Counters, stopping: Callable[[], bool]
    ) -> None:
        self._exchange = exchange
        self._outlet = outlet
        self._tally = tally
        self._stopping = stopping
        self._looks = Looks(PULSE)
        outlet.start()

    def next_batch(self) -> Iterable[SourceItem]:
        stopping = self._stopping()
        if stopping:
            self._outlet.stop()
        if not self._looks.due():
            return []
        # Asked before taking: what is queued by then is all there will be.
        ended = self._outlet.ended
        if self._outlet.failure:
            raise RuntimeError(f"{self._exchange}: asking failed") from self._outlet.failure
        rows = self._outlet.take()
        if ended and not rows:
            self._tally.ended = self._tally.ended or not stopping
            raise StopIteration
        self._looks.wait(LINGER)
        if rows:
            self._looks.emitted()
        return feed(self._exchange, rows)

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self._outlet.join()
