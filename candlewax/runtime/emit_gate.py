"""When sources hand on what has come: together, and not while it would only wait.

What is handed on just after something else is stored after it, not with it, and storing
costs by the times, not by the rows.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

STEP: Final = timedelta(milliseconds=2)
"""Time between the moments at which all who wait look again."""

ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A moment that has passed by any clock: a part that wants to be woken then is asked at once."""

_REST_S: Final = 0.005
"""Seconds that a part rests at most: what others wait for is not held up for longer."""

_BUSY_S: Final = 0.002
"""Seconds after something was handed on in which no part rests."""


class Pulse:
    """When any source of a process last looked, and when one last handed something on; seconds of
    a clock that cannot be set.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.looked_at = now()
        self.emitted_at = 0.0

    def stale(self, fresh_s: float) -> str | None:
        """Return what is wrong with the sources, if none has looked for so long."""
        age_s = self._now() - self.looked_at
        if age_s <= fresh_s:
            return None
        return f"no source has read for {age_s:.0f} s, {fresh_s:g} s is the most that is fresh"


_NEVER: Final = threading.Event()
"""Waiting for it rests by a clock that cannot be set."""

PULSE: Final = Pulse()
"""That of this process."""


class EmitGate:
    """The turns of all sources of a process; asked from any of its threads.

    None begins while what was handed on waits to be stored. Who was not there when the
    last one began may still join it.
    """

    def __init__(self) -> None:
        self._behind: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._number = 0
        self._was_behind = False

    def add_backpressure(self, behind: Callable[[], bool]) -> None:
        """Begin no turn while this says that what was handed on waits."""
        self._behind.append(behind)

    def for_partition(self) -> Callable[[], bool]:
        """For a part of a source, what tells whether it may hand on what has come; if so,
        that was its turn.
        """
        had = 0

        def may() -> bool:
            nonlocal had
            number, behind = self._last()
            if behind and had == number:
                return False
            had = number
            return True

        return may

    def _last(self) -> tuple[int, bool]:
        """The number of the turn that began last, and whether no other can begin now."""
        behind = any(ask() for ask in self._behind)
        with self._lock:
            if self._was_behind and not behind:
                self._number += 1
            self._was_behind = behind
            return self._number, behind


class Looks:
    """When one part of a source looks again at what has come, by a clock that cannot be set.

    The engine wakes a part by the wall clock: after a step back it would read nothing until the
    old time is reached again. So it is told to come at once (ALWAYS), and a part that comes too
    early rests here, unless another part has just handed on something that is to be dealt with.
    """

    def __init__(
        self,
        pulse: Pulse,
        now: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] = _NEVER.wait,
    ) -> None:
        self._pulse = pulse
        self._now = now
        self._rest = rest
        self._at = 0.0

    def wait(self, wait: timedelta | None) -> None:
        """Look again after a time, when others that wait as long do, too; None: at once."""
        if wait is None:
            self._at = 0.0
            return
        step = STEP.total_seconds()
        self._at = ((self._now() + wait.total_seconds()) // step + 1) * step

    def due(self) -> bool:
        """Return whether it is time to look; rest a little if not."""
        now = self._pulse.looked_at = self._now()
        if now < self._at and now - self._pulse.emitted_at >= _BUSY_S:
            self._rest(min(self._at - now, _REST_S))
            now = self._now()
        return now >= self._at

    @property
    def left_s(self) -> float:
        """Seconds until it is time to look."""
        return max(0.0, self._at - self._now())

    def emitted(self) -> None:
        """Something was handed on: no part rests before it is dealt with."""
        self._pulse.emitted_at = self._now()
