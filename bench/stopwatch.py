"""Elapsed time and processor time of a measurement."""

import time
from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds that a measurement took, and seconds of processor time of all its threads.

    On one core both are nearly equal, unless other programs use it too.
    """

    seconds: float
    processor_s: float


class Stopwatch:
    """Stopwatch of this process, started when it is made."""

    def __init__(self) -> None:
        self._began_at = time.perf_counter()
        self._used_before_s = time.process_time()

    def timing(self) -> Timing:
        """Return the time since the start."""
        processor_s = time.process_time() - self._used_before_s
        return Timing(time.perf_counter() - self._began_at, processor_s)
