"""Timing of sources: they emit at the same moments, and not while the writer is backlogged.

An insert costs by itself, not by its rows. Items emitted just after others miss the insert of
those and need one of their own.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

STEP: Final = timedelta(milliseconds=2)
"""Grid of the moments at which waiting partitions poll again."""

ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Time that is past by any clock. The engine polls a partition with this wake-up time at once."""

_MAX_SLEEP_S: Final = 0.005
"""Greatest sleep of a partition at once: it holds up the other steps of its worker."""

_BUSY_S: Final = 0.002
"""Seconds after a partition emitted in which no partition sleeps."""


class SourceActivity:
    """Times at which any source of the process last polled and last emitted.

    They are seconds of a clock that cannot be set.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.polled_at = now()
        self.emitted_at = 0.0

    def problem(self, max_age_s: float) -> str | None:
        """Return the problem if no source has polled for more than `max_age_s`, else None."""
        age_s = self._now() - self.polled_at
        if age_s <= max_age_s:
            return None
        return f"no source has read for {age_s:.0f} s, the limit is {max_age_s:g} s"


_NEVER: Final = threading.Event()
"""Event that is never set: waiting for it sleeps by a clock that cannot be set."""

SOURCE_ACTIVITY: Final = SourceActivity()
"""Activity of the sources of this process."""


class EmitGate:
    """Backpressure for all sources of a process. Any thread may use it.

    While the writer is backlogged, each partition may emit once more at most: if it has not
    emitted since the backlog last ended.
    """

    def __init__(self) -> None:
        self._checks: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._turn = 0
        self._was_backlogged = False

    def add_backpressure(self, is_backlogged: Callable[[], bool]) -> None:
        """Hold sources back while the check returns True."""
        self._checks.append(is_backlogged)

    def for_partition(self) -> Callable[[], bool]:
        """Return a check for one source partition: may it emit now? True uses up its turn."""
        used_turn = 0

        def may_emit() -> bool:
            nonlocal used_turn
            turn, is_backlogged = self._current_turn()
            if is_backlogged and used_turn == turn:
                return False
            used_turn = turn
            return True

        return may_emit

    def _current_turn(self) -> tuple[int, bool]:
        """Return the number of the current turn, and True if the writer is backlogged."""
        is_backlogged = any(check() for check in self._checks)
        with self._lock:
            if self._was_backlogged and not is_backlogged:
                self._turn += 1
            self._was_backlogged = is_backlogged
            return self._turn, is_backlogged


class PollTimer:
    """Time of the next poll of one source partition, by a clock that cannot be set.

    The engine wakes partitions by the wall clock: after a step back it would poll none until the
    old time is reached again. So a partition asks to be polled at once (ALWAYS). If it is polled
    too early, it sleeps here, unless another partition has just emitted items to process.
    """

    def __init__(
        self,
        activity: SourceActivity,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = _NEVER.wait,
    ) -> None:
        self._activity = activity
        self._now = now
        self._sleep = sleep
        self._due_at = 0.0

    def schedule(self, wait: timedelta | None) -> None:
        """Poll again after a time, on the grid of all partitions; None: at once."""
        if wait is None:
            self._due_at = 0.0
            return
        step = STEP.total_seconds()
        self._due_at = ((self._now() + wait.total_seconds()) // step + 1) * step

    def is_due(self) -> bool:
        """Return True if the poll is due; if not, sleep a little first."""
        now = self._activity.polled_at = self._now()
        if now < self._due_at and now - self._activity.emitted_at >= _BUSY_S:
            self._sleep(min(self._due_at - now, _MAX_SLEEP_S))
            now = self._now()
        return now >= self._due_at

    @property
    def remaining_s(self) -> float:
        """Seconds until the poll is due."""
        return max(0.0, self._due_at - self._now())

    def mark_emitted(self) -> None:
        """Note that the partition has emitted: for a moment no partition sleeps."""
        self._activity.emitted_at = self._now()
