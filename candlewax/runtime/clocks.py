"""Clocks of a process.

Waits, ages and timeouts use clocks that cannot be set. The wall clock only stamps times of receipt
and of storing.
"""

import time
from typing import Final


def wall_clock() -> int:
    """Return the machine's time in microseconds since 1970. It may be stepped at any moment."""
    return time.time_ns() // 1000


def monotonic_clock() -> int:
    """Return microseconds since an arbitrary moment; the value never decreases."""
    return time.monotonic_ns() // 1000


_OFFSET_US: Final = wall_clock() - monotonic_clock()


def steady_clock() -> int:
    """Return microseconds since 1970, unaffected by steps of the machine's clock.

    It is the machine's time when the process started, plus the time elapsed since.
    """
    return _OFFSET_US + monotonic_clock()
