"""How much memory there is for this process: a container that may use little of a large machine
sees all of it.

By the Linux kernel's documentation, "Control Group v2" (`memory.max`, `memory.current`) and
"Memory Resource Controller" of version 1 (`memory.limit_in_bytes`, `memory.usage_in_bytes`). A
limit of any group above holds for those below it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

UNLIMITED: Final = 1 << 60
"""Bytes; version 1 names a number beyond it where there is no limit."""


class _Memory(NamedTuple):
    limit: int
    left: int


class _Files(NamedTuple):
    limit: str
    used: str
    inactive: str


_V2: Final = _Files("memory.max", "memory.current", "inactive_file")
_V1: Final = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def measure_left(root: Path = Path("/")) -> int:
    """Return the bytes that this process may still take: the least that the machine and its
    control groups leave; UNLIMITED where nothing is known.
    """
    found = [*_of_machine(root), *_of_groups(root)]
    return max(0, min((one.left for one in found), default=UNLIMITED))


def measure_lasting(root: Path = Path("/")) -> int:
    """Return the bytes that this process may take in the long run: what its control groups leave
    and what the machine has, as other processes of a machine come and go.
    """
    lefts = [*(one.limit for one in _of_machine(root)), *(one.left for one in _of_groups(root))]
    return max(0, min(lefts, default=UNLIMITED))


def _of_machine(root: Path) -> Iterator[_Memory]:
    values = _read_numbers(root / "proc/meminfo", ":")
    if "MemTotal" in values and "MemAvailable" in values:
        yield _Memory(values["MemTotal"] << 10, values["MemAvailable"] << 10)


def _of_groups(root: Path) -> Iterator[_Memory]:
    """Yield what each group of this process that has a limit allows."""
    for folder, files in _list_groups(root):
        limit, used = _read_number(folder / files.limit), _read_number(folder / files.used)
        if limit is None or used is None or limit >= UNLIMITED:
            continue
        # Pages of files that have not been used lately are given up before anything fails.
        spare = _read_numbers(folder / "memory.stat", " ").get(files.inactive, 0)
        yield _Memory(limit, limit - max(0, used - spare))


def _list_groups(root: Path) -> Iterator[tuple[Path, _Files]]:
    """Yield the folders of this process's groups and of all above them."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not kinds:
            for place in (top, top / "unified"):
                yield from ((folder, _V2) for folder in _list_upwards(place, path))
        elif "memory" in kinds.split(","):
            yield from ((folder, _V1) for folder in _list_upwards(top / "memory", path))


def _list_upwards(top: Path, path: str) -> Iterator[Path]:
    """Yield a group's folder and those above it. Within a container the path may be that of the
    host, where no such folder is: the group itself is at the top then.
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
    """Return what a file of lines of a name and a number says."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    pairs = (line.partition(mark) for line in lines)
    words = {name: text.split() for name, _, text in pairs}
    return {name: int(text[0]) for name, text in words.items() if text and text[0].isdecimal()}
