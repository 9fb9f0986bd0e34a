"""When sources hand on what has come: together, and not while it would only wait.

What is handed on just after something else is stored after it, not with it, and storing
costs by the times, not by the rows.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

STEP: Final = timedelta(milliseconds=2)
"""Time between the moments at which all who wait look again."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Turns:
    """The turns of all sources of a process; asked from any of its threads.

    None begins while what was handed on waits to be stored. Who was not there when the
    last one began may still join it.
    """

    def __init__(self) -> None:
        self._behind: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._number = 0
        self._was_behind = False

    def heed(self, behind: Callable[[], bool]) -> None:
        """Begin no turn while this says that what was handed on waits."""
        self._behind.append(behind)

    def part(self) -> Callable[[], bool]:
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


def next_look(wait: timedelta, now: datetime | None = None) -> datetime:
    """The first moment after this time at which all look again: so they look together."""
    # By the clock that the engine wakes them by.
    at = (now or datetime.now(UTC)) + wait - _EPOCH
    return _EPOCH + (at // STEP + 1) * STEP
