"""Kind of data of a frame log, determined by its content; name and folder prove nothing."""

from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from candlewax.core.kind_marks import (
    CONNECTED_PREFIX,
    REAL,
    SAMPLE_KIND,
    SIMULATED,
    SIMULATOR_FIELD,
)
from candlewax.data import SAMPLE
from candlewax.feeds.replay.log_reader import Lines, blocks

_CHUNK: Final = 1 << 20

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_TABS: Final = 4
"""Number of tabs in a line that holds a frame."""


def kinds_of(path: Path) -> set[str]:
    """Return all kinds of data that a frame log holds; reads the whole log.

    Connection events of our own mark the simulator's frames; the sample is recognized by its lines.
    Anything else counts as real, also an unreadable log: the source reports the error.
    """
    kinds: set[str] = set()
    others = False
    for text in _texts(path):
        kinds |= _event_kinds(text)
        of_sample, of_others = _sample_lines(text)
        if of_sample:
            kinds.add(SAMPLE_KIND)
        others = others or of_others
    if SAMPLE_KIND in kinds and others and len(kinds) == 1:
        kinds.add(REAL)
    return kinds or {REAL}


def _texts(path: Path) -> Iterator[bytes]:
    """Yield whole lines of a log, about 1 MiB at a time."""
    try:
        lines = Lines(blocks(path, lambda _: None), _CHUNK, 0)
        while text := lines.next_chunk():
            yield text
    except OSError:
        return


def _event_kinds(text: bytes) -> set[str]:
    """Return the kinds that connection events of our own in a text show."""
    kinds: set[str] = set()
    position = text.find(_EVENT_IN_LINE)
    while position >= 0:
        end = text.find(b"\n", position)
        event = text[position : end if end >= 0 else len(text)]
        kinds.add(SIMULATED if SIMULATOR_FIELD in event else REAL)
        position = text.find(_EVENT_IN_LINE, position + len(event))
    return kinds


_EVENT_IN_LINE: Final = b"\t" + CONNECTED_PREFIX


def _sample_lines(text: bytes) -> tuple[bool, bool]:
    """Tell if a text holds lines of the sample, and if it holds other lines with frames."""
    sample_hashes, prefix = _sample()
    if b"\n" + prefix not in text and not text.removeprefix(_BYTE_ORDER_MARK).startswith(prefix):
        return False, text.count(b"\t") >= _TABS
    lines = [line.rstrip(b"\r") for line in text.removeprefix(_BYTE_ORDER_MARK).split(b"\n")]
    is_sample_line = [hash(line) in sample_hashes for line in lines]
    # The last line may be cut.
    others = (
        line for line, in_sample in zip(lines[:-1], is_sample_line, strict=False) if not in_sample
    )
    return any(is_sample_line), any(line.count(b"\t") == _TABS for line in others)


@cache
def _sample() -> tuple[frozenset[int], bytes]:
    """Return the hashes of the sample's lines, and the common prefix of their times."""
    lines = b"".join(blocks(SAMPLE, lambda _: None)).split(b"\n")[:-1]
    times = [line.partition(b"\t")[0] for line in lines]
    same = takewhile(lambda pair: pair[0] == pair[1], zip(min(times), max(times), strict=False))
    return frozenset(map(hash, lines)), bytes(first for first, _ in same)
