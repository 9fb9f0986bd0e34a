"""How many processes share the tests."""

import os
from pathlib import Path
from typing import Final

from candlewax.runtime.cpu import count_cores

_EACH: Final = 2 << 30
"""Bytes of memory for one: an engine, and a broker or what else its tests start."""

_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def workers() -> int:
    """One more than there are cores, as some wait, and no more than memory holds; none where
    tests share a broker or a catalog from outside, so that they take turns.
    """
    if any(os.environ.get(f"CANDLEWAX_TEST_{name}") for name in ("BROKERS", "REST")):
        return 0
    return max(1, min(count_cores() + 1, memory() // _EACH))


def memory(limit: Path = _LIMIT) -> int:
    """Bytes of memory, of this machine or of the container it is.

    By "Control Group v2", "Memory Interface Files", of the Linux kernel's documentation: `limit`
    holds bytes, or `max`.
    """
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(there, int(limit.read_text(encoding="ascii")))
    except (OSError, ValueError):  # there is no limit, or none is set
        return there
