"""Memory of the embedded engine's library that is only needed at its start."""

import ctypes
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_MAPS: Final = Path("/proc/self/smaps")
"""Mappings of this process, as Linux lists them: proc(5)."""

_LIBRARY: Final = "_chdb"

_MADV_DONTNEED: Final = 4
"""madvise(2): the pages are dropped, and read from the file again when they are used."""

_HEADER: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)")


class Mapping(NamedTuple):
    """Mapping of a file into memory."""

    start: int
    end: int
    permissions: str
    path: str
    own_kb: int
    """Memory that the file does not hold, such as relocated addresses, also if swapped out."""


def release_library_pages() -> None:
    """Drop the pages of the engine's library; those in use are read from the file again.

    Opening the engine touches most of its 200 MB. Without /proc this does nothing.
    """
    if not _MAPS.exists():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for mapping in droppable(read_mappings(_MAPS.read_text().splitlines())):
        size = ctypes.c_size_t(mapping.end - mapping.start)
        libc.madvise(ctypes.c_void_p(mapping.start), size, _MADV_DONTNEED)


def droppable(mappings: Iterable[Mapping]) -> Iterator[Mapping]:
    """Yield the mappings of the library whose pages are all as in its file.

    A page that was written, also by the loader, would be lost.
    """
    for mapping in mappings:
        is_library = _LIBRARY in mapping.path.rpartition("/")[2]
        if is_library and "w" not in mapping.permissions and not mapping.own_kb:
            yield mapping


def read_mappings(lines: Iterable[str]) -> list[Mapping]:
    """Parse the lines of smaps."""
    mappings: list[Mapping] = []
    for line in lines:
        if header := _HEADER.fullmatch(line):
            start, end, permissions, path = header.groups()
            mappings.append(Mapping(int(start, 16), int(end, 16), permissions, path, 0))
        elif line.startswith(("Anonymous:", "Swap:")) and mappings:
            own_kb = mappings[-1].own_kb + int(line.split()[1])
            mappings[-1] = mappings[-1]._replace(own_kb=own_kb)
    return mappings
