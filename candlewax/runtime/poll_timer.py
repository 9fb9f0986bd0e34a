"""Waiting of sources: partitions without input sleep inside the engine's poll until some arrives.

The engine polls an idle partition about a thousand times a second, whatever wake-up time it
returns, and by the wall clock: after a step back it would poll none until the old time is reached
again. So partitions ask to be polled at once (ALWAYS), and wait here, by a clock that cannot be
set, until one of their worker has something to emit.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from weakref import WeakSet

ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Time that is past by any clock. The engine polls a partition with this wake-up time at once."""

MAX_IDLE_S: Final = 0.1
"""Longest wait of a worker without input: epochs, timers of steps and signals wait for it."""

MAX_IDLE_AMONG_WORKERS_S: Final = 0.005
"""Longest wait of a worker to which others send items: they do not wake it."""

RETRY: Final = timedelta(milliseconds=2)
"""Time until the next poll of a partition that may not emit now."""

_JOIN_S: Final = 0.002
"""Seconds after the first emission of a round in which other partitions join it."""

_POLLS_AFTER_EMISSION: Final = 2
"""Polls of each partition without waiting after an emission, so that the engine passes it on."""

_HELD_ROUNDS: Final = 4
"""Rounds in which the engine does not poll a partition, after which it counts as held.

The engine holds a partition that is an epoch ahead, until all others have ended theirs."""

_HELD_WAIT_S: Final = 0.001
"""Longest wait while a partition with input is held: the engine moves on between two polls."""


class SourceActivity:
    """When any source of the process last polled, in seconds of a clock that cannot be set."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.polled_at = now()
        self.max_idle_s = MAX_IDLE_S
        """Longest wait of a worker without input."""

    def problem(self, max_age_s: float) -> str | None:
        """Return the problem if no source has polled for more than `max_age_s`, else None."""
        age_s = self._now() - self.polled_at
        if age_s <= max_age_s:
            return None
        return f"no source has read for {age_s:.0f} s, the limit is {max_age_s:g} s"


SOURCE_ACTIVITY: Final = SourceActivity()
"""Activity of the sources of this process."""


class PollGroup:
    """Source partitions of one worker: they emit in common rounds, and wait together."""

    def __init__(
        self, activity: SourceActivity = SOURCE_ACTIVITY, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.activity = activity
        self.now = now
        self.timers: WeakSet[PollTimer] = WeakSet()
        self.poll_count = 0
        self.round_at = -1.0
        """Time of the first emission of the last round."""
        self.polls_without_wait = 0
        self._input = threading.Event()

    def wake(self) -> None:
        """End a wait for input; any thread may call it after it has added some."""
        self._input.set()

    def wait(self, seconds: float) -> None:
        """Wait until `wake` is called, at most so long."""
        self._input.wait(seconds)

    def await_ready(self, await_input: Callable[[float], object] | None = None) -> None:
        """Return when a partition may be ready, at the latest after the longest idle wait.

        `await_input` waits for input so many seconds at most, instead of for `wake`.
        """
        self._input.clear()
        now, has_input, ready_at = self.now(), False, float("inf")
        recent = self.poll_count - _HELD_ROUNDS * len(self.timers)
        for timer in self.timers:
            if timer.has_input():
                is_held = timer.polled_at_count <= recent
                due_at = now + _HELD_WAIT_S if is_held else timer.due_at(now)
                has_input, ready_at = True, min(ready_at, due_at)
        seconds = min(ready_at - now, self.activity.max_idle_s)
        if seconds <= 0:
            return
        if has_input or await_input is None:
            self.wait(seconds)
        else:
            await_input(seconds)


_GROUPS: Final[dict[int, PollGroup]] = {}


def worker_group() -> PollGroup:
    """Return the group of the partitions that the current thread builds and polls."""
    # Bytewax's workers have no lasting thread state of Python, so a threading.local would not do.
    return _GROUPS.setdefault(threading.get_ident(), PollGroup())


class PollTimer:
    """Time of the next poll of one source partition that emits anything."""

    def __init__(
        self,
        group: PollGroup,
        has_input: Callable[[], bool] = lambda: True,
        await_input: Callable[[float], object] | None = None,
    ) -> None:
        """`has_input` tells if a poll could emit; whoever adds input calls the group's `wake`.

        Input that cannot wake the group is waited for by `await_input`, so many seconds at most.
        """
        self.group = group
        self.has_input = has_input
        self._await_input = await_input
        self._wait_s = 0.0
        self._due_at = 0.0
        self.polled_at_count = group.poll_count
        group.timers.add(self)

    def schedule(self, wait: timedelta | None) -> None:
        """Poll again after a time, together with the partitions of this round; None: at once."""
        now, round_at = self.group.now(), self.group.round_at
        self._wait_s = wait.total_seconds() if wait else 0.0
        started = round_at if now - round_at < _JOIN_S else now
        self._due_at = started + self._wait_s if wait else 0.0

    def due_at(self, now: float) -> float:
        """Return when the partition may emit next: in this round or in the next one."""
        round_at = self.group.round_at
        if now - round_at < _JOIN_S:
            return self._due_at
        return max(self._due_at, round_at + self._wait_s)

    def is_due(self) -> bool:
        """Return True if the partition should emit what it has; if not, wait first.

        It also returns False, so that others are polled, once another partition may be ready.
        """
        group = self.group
        now = group.activity.polled_at = group.now()
        group.poll_count += 1
        self.polled_at_count = group.poll_count
        if self._is_ready(now):
            return True
        if group.polls_without_wait:
            group.polls_without_wait -= 1
            return False
        group.await_ready(self._await_input)
        # The engine polls all others before it goes on; they must not wait once more.
        group.polls_without_wait = len(group.timers) - 1
        return self._is_ready(group.now())

    def _is_ready(self, now: float) -> bool:
        return self.has_input() and self.due_at(now) <= now

    @property
    def remaining_s(self) -> float:
        """Seconds until the poll is due."""
        now = self.group.now()
        return max(0.0, self.due_at(now) - now)

    def mark_emitted(self) -> None:
        """Note that the partition has emitted: the engine passes that on before anyone waits."""
        group = self.group
        now = group.now()
        if now - group.round_at >= _JOIN_S:
            group.round_at = now
        group.polls_without_wait = _POLLS_AFTER_EMISSION * len(group.timers)

    def close(self) -> None:
        """Leave the group."""
        self.group.timers.discard(self)
