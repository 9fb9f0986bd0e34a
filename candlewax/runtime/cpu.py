"""How many cores there are for this process."""

import math
import os
from pathlib import Path
from typing import Final

_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")


def cores(limit: Path = _LIMIT) -> int:
    """Cores that this process may run on, no more than its control group is given time of:
    a container that may use one core of many sees them all.

    By "Control Group v2", "CPU Interface Files", of the Linux kernel's documentation: `limit`
    holds microseconds in each period, or `max`, and the period.
    """
    # Not every system says which cores a process may run on.
    mine = getattr(os, "sched_getaffinity", None)
    there = len(mine(0)) if mine else os.cpu_count() or 1
    return max(1, min(there, _given(limit) or there))


def _given(limit: Path) -> int | None:
    try:
        time, period = limit.read_text(encoding="ascii").split()
        return math.ceil(int(time) / int(period))
    except (OSError, ValueError):  # there is no limit, or none is set
        return None
