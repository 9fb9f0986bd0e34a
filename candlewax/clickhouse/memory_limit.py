"""Memory available to this process, from the machine and its control groups.

A container with a small limit sees the whole memory of its machine, so the limit has to be read.
Source: the Linux kernel's documentation, "Control Group v2" (`memory.max`, `memory.current`) and
"Memory Resource Controller" of version 1 (`memory.limit_in_bytes`, `memory.usage_in_bytes`). The
limit of a group holds for all groups below it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

UNLIMITED: Final = 1 << 60
"""Bytes; version 1 writes a larger number if there is no limit."""


class _Memory(NamedTuple):
    limit_bytes: int
    available_bytes: int


class _Files(NamedTuple):
    limit: str
    used: str
    inactive: str


_V2: Final = _Files("memory.max", "memory.current", "inactive_file")
_V1: Final = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def measure_available(root: Path = Path("/")) -> int:
    """Return the bytes that the machine and each control group leave to this process.

    The smallest of them counts; UNLIMITED if none can be read.
    """
    memories = [*_read_machine(root), *_read_groups(root)]
    return max(0, min((memory.available_bytes for memory in memories), default=UNLIMITED))


def measure_long_term(root: Path = Path("/")) -> int:
    """Return the bytes that this process can use in the long run.

    These are the whole memory of the machine, as its other processes end sooner or later, or
    what a control group leaves, if that is less. UNLIMITED if none can be read.
    """
    sizes = [
        *(memory.limit_bytes for memory in _read_machine(root)),
        *(memory.available_bytes for memory in _read_groups(root)),
    ]
    return max(0, min(sizes, default=UNLIMITED))


def _read_machine(root: Path) -> Iterator[_Memory]:
    values = _read_numbers(root / "proc/meminfo", ":")
    if "MemTotal" in values and "MemAvailable" in values:
        yield _Memory(values["MemTotal"] << 10, values["MemAvailable"] << 10)


def _read_groups(root: Path) -> Iterator[_Memory]:
    """Yield the memory of each control group of this process that has a limit."""
    for folder, files in _list_groups(root):
        limit, used = _read_number(folder / files.limit), _read_number(folder / files.used)
        if limit is None or used is None or limit >= UNLIMITED:
            continue
        # The kernel frees inactive file pages before an allocation fails.
        reclaimable = _read_numbers(folder / "memory.stat", " ").get(files.inactive, 0)
        yield _Memory(limit, limit - max(0, used - reclaimable))


def _list_groups(root: Path) -> Iterator[tuple[Path, _Files]]:
    """Yield the folders of the control groups of this process, and of all groups above them."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not kinds:
            for mount in (top, top / "unified"):
                yield from ((folder, _V2) for folder in _list_upwards(mount, path))
        elif "memory" in kinds.split(","):
            yield from ((folder, _V1) for folder in _list_upwards(top / "memory", path))


def _list_upwards(top: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and those above it.

    In a container the path may be the host's. Its folders are absent then, and the group is
    `top` itself.
    """
    parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
    for depth in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:depth])


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or `max`
        return None


def _read_numbers(path: Path, mark: str) -> dict[str, int]:
    """Return the numbers of a file by name; each line is a name, the mark and a number."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    pairs = (line.partition(mark) for line in lines)
    words = {name: text.split() for name, _, text in pairs}
    return {name: int(text[0]) for name, text in words.items() if text and text[0].isdecimal()}
