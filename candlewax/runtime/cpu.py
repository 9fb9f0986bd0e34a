"""Processor cores available to this process, and its use of them."""

import gc
import math
import os
import sys
from pathlib import Path
from typing import Final

_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")


def count_cores(limit: Path = _LIMIT) -> int:
    """Return the cores that this process may use, bounded by the quota of its control group.

    A container with a quota of one core still sees all cores of its machine. Source of the format
    of `limit`: the Linux kernel's documentation, "Control Group v2", "CPU Interface Files". It
    holds the quota in microseconds or `max`, and the period.
    """
    # Some systems, such as macOS, lack sched_getaffinity.
    get_affinity = getattr(os, "sched_getaffinity", None)
    visible = len(get_affinity(0)) if get_affinity else os.cpu_count() or 1
    return max(1, min(visible, _read_quota(limit) or visible))


def _read_quota(limit: Path) -> int | None:
    try:
        time, period = limit.read_text(encoding="ascii").split()
        return math.ceil(int(time) / int(period))
    except (OSError, ValueError):  # no such file, or `max`
        return None


def tune_runtime() -> None:
    """Tune garbage collection and thread switching for many short-lived objects."""
    # Reference counting frees frames and messages; to search thousands of them for cycles costs
    # more than to read them.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    # With the default of 5 ms the writer's thread waits that long per step while others compute.
    sys.setswitchinterval(0.000_5)
