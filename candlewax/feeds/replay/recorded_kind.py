"""The kind of a recording, by what it holds: its name and its place tell nothing."""

from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from candlewax.core.kind_marks import CONNECTED, MADE_BY, REAL, SAMPLE_KIND, SIMULATED
from candlewax.data import SAMPLE
from candlewax.feeds.replay.log_reader import Lines, blocks

_CHUNK: Final = 1 << 20

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_TABS: Final = 4
"""In a line that holds a frame."""


def kinds_of(path: Path) -> set[str]:
    """Return the kinds of data that meet in a frame log, all of which is looked through.

    Our own events of connections tell which are the simulator's; the sample is known by its
    lines. What tells nothing of itself counts as real. So does what cannot be read: that is told
    by who reads it on.
    """
    found: set[str] = set()
    others = False
    for text in _texts(path):
        found |= _connected(text)
        of_sample, of_others = _sample_lines(text)
        if of_sample:
            found.add(SAMPLE_KIND)
        others = others or of_others
    if SAMPLE_KIND in found and others and len(found) == 1:
        found.add(REAL)
    return found or {REAL}


def _texts(path: Path) -> Iterator[bytes]:
    """Whole lines of a log, about a mebibyte at a time."""
    try:
        lines = Lines(blocks(path, lambda _: None), _CHUNK, 0)
        while text := lines.next_chunk():
            yield text
    except OSError:
        return


def _connected(text: bytes) -> set[str]:
    """The kinds that our own events of connections tell of."""
    kinds: set[str] = set()
    place = text.find(_IN_A_LINE)
    while place >= 0:
        end = text.find(b"\n", place)
        event = text[place : end if end >= 0 else len(text)]
        kinds.add(SIMULATED if MADE_BY in event else REAL)
        place = text.find(_IN_A_LINE, place + len(event))
    return kinds


_IN_A_LINE: Final = b"\t" + CONNECTED


def _sample_lines(text: bytes) -> tuple[bool, bool]:
    """Whether lines of the sample are among those of a text, and whether others with frames are."""
    known, prefix = _sample()
    if b"\n" + prefix not in text and not text.removeprefix(_BYTE_ORDER_MARK).startswith(prefix):
        return False, text.count(b"\t") >= _TABS
    lines = [line.rstrip(b"\r") for line in text.removeprefix(_BYTE_ORDER_MARK).split(b"\n")]
    there = [hash(line) in known for line in lines]
    # The last one may have been cut.
    others = (line for line, one in zip(lines[:-1], there, strict=False) if not one)
    return any(there), any(line.count(b"\t") == _TABS for line in others)


@cache
def _sample() -> tuple[frozenset[int], bytes]:
    """What the lines of the sample are known by, and what the times of all of them begin with."""
    lines = b"".join(blocks(SAMPLE, lambda _: None)).split(b"\n")[:-1]
    times = [line.partition(b"\t")[0] for line in lines]
    same = takewhile(lambda pair: pair[0] == pair[1], zip(min(times), max(times), strict=False))
    return frozenset(map(hash, lines)), bytes(first for first, _ in same)
