"""Clocks of a process. Waiting, ages and timeouts go by clocks that no one can set; the wall clock
tells only when something was received or stored.
"""

import time
from typing import Final


def wall_clock() -> int:
    """Return the machine's time, microseconds since 1970. It may be stepped at any moment."""
    return time.time_ns() // 1000


def monotonic_clock() -> int:
    """Return microseconds since some moment in the past."""
    return time.monotonic_ns() // 1000


_BEGAN: Final = wall_clock() - monotonic_clock()


def steady_clock() -> int:
    """Return microseconds since 1970 as this process counts them: the machine's time when it
    began, and what has passed since. Steps of the machine's clock do not change it.
    """
    return _BEGAN + monotonic_clock()
