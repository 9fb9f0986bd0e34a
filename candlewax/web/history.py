"""The candles of one series as they are sent, kept small: old ones packed, new ones open."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import zstandard

LATEST: Final = 4_291_747_200
"""The year 2106 in seconds since 1970: every candle begins before, as the table's times end
there."""

CHUNK: Final = 512
"""Candles that are packed together: about 75 bytes each, of 470. To open a chunk lets go of
the interpreter's lock, so there should be few of them in an answer."""

OPEN: Final = 64
"""The last candles of a series, at least, stay open, as they still change."""


@dataclass(frozen=True)
class Chunk:
    """Candles that follow each other: their starts (seconds since 1970), and their JSON."""

    starts: Sequence[int]
    packed: bytes

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return zstandard.ZstdDecompressor().decompress(self.packed).split(b"\n")


def pack(starts: Sequence[int], lines: Sequence[bytes]) -> list[Chunk]:
    """Candles, in their order, in chunks; in any thread."""
    return [
        # Four bytes each, where a list takes forty.
        Chunk(array("I", starts[at : at + CHUNK]), _packed(lines[at : at + CHUNK]))
        for at in range(0, len(starts), CHUNK)
    ]


def _packed(lines: Sequence[bytes]) -> bytes:
    packed = zstandard.ZstdCompressor(level=1).compress(b"\n".join(lines))
    # What it gives keeps the room that it was given at first, four times as much.
    return bytes(bytearray(packed))


@dataclass(frozen=True)
class Read:
    """Candles of a series as they were read: all from `since` on up to what was known."""

    since: int
    chunks: Sequence[Chunk]
    rest: Mapping[int, bytes]


def read(since: int, starts: Sequence[int], lines: Sequence[bytes], still: int) -> Read:
    """Candles in their order, the last ones of which are `still` open; in any thread."""
    edge = max(0, len(starts) - still)
    rest = dict(zip(starts[edge:], lines[edge:], strict=True))
    return Read(since, pack(starts[:edge], lines[:edge]), rest)


@dataclass
class _Open:
    starts: list[int] = field(default_factory=list)
    known: dict[int, bytes] = field(default_factory=dict)

    def lines(self) -> list[bytes]:
        return [self.known[start] for start in self.starts]


class _Held(msgspec.Struct):
    trade_count: int
    closed: bool

    @property
    def version(self) -> int:
        """As in `ohlcv`: of two rows of a candle the table shows the one with more."""
        return 2 * self.trade_count + self.closed


_held: Final = msgspec.json.Decoder(_Held).decode


class History:
    """All candles of a series that begin at `since` (seconds since 1970) or later."""

    def __init__(self) -> None:
        self.since = LATEST
        self._chunks: list[Chunk] = []
        self._open = _Open()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, read: "Read") -> None:
        """Put older candles before those that are here."""
        self.since = read.since
        self._chunks[:0] = read.chunks
        self._count += sum(len(chunk.starts) for chunk in read.chunks)
        self.put(read.rest)

    def shorten(self) -> int:
        """Forget the oldest chunk, if there is one; gives how many candles went."""
        if not self._chunks:
            return 0
        chunk = self._chunks.pop(0)
        self.since = chunk.starts[-1] + 1
        self._count -= len(chunk.starts)
        return len(chunk.starts)

    def between(self, begin: int, end: int, limit: int, *, last: bool) -> list[bytes] | None:
        """The first or the `last` so many candles that begin in a time, in its order; None
        if not all of them are here.
        """
        if begin < self.since and not last:
            return None
        found: list[bytes] = []
        for part in self._parts(begin, end, last=last):
            low, high = bisect_left(part.starts, begin), bisect_left(part.starts, end)
            rest = limit - len(found)
            if last:
                found[:0] = part.lines()[max(low, high - rest) : high]
            else:
                found += part.lines()[low : min(high, low + rest)]
            if len(found) == limit:
                return found
        return None if begin < self.since else found

    def _parts(self, begin: int, end: int, *, last: bool) -> Iterator[Chunk | _Open]:
        """What may hold candles of a time, in its order or from its end."""
        low = max(0, bisect_right(self._chunks, begin, key=_first) - 1)
        high = bisect_left(self._chunks, end, key=_first)
        places = range(low, high)
        if last:
            yield self._open
        for place in reversed(places) if last else places:
            yield self._chunks[place]
        if not last:
            yield self._open

    def put(self, changes: Mapping[int, bytes]) -> dict[int, bytes]:
        """Take rows of candles by their starts; gives those that changed something. One
        that says less than what is here changes nothing, as in the table.
        """
        by_part: dict[int, dict[int, bytes]] = {}
        edge = self._chunks[-1].starts[-1] if self._chunks else -1
        for start, line in changes.items():
            if start > edge:
                by_part.setdefault(len(self._chunks), {})[start] = line
            elif start >= self.since:
                place = max(0, bisect_right(self._chunks, start, key=_first) - 1)
                by_part.setdefault(place, {})[start] = line
        changed: dict[int, bytes] = {}
        # From the end: a chunk that grows too large becomes two.
        for place, rows in sorted(by_part.items(), reverse=True):
            changed |= self._put(place, rows)
        return changed

    def _put(self, place: int, rows: Mapping[int, bytes]) -> dict[int, bytes]:
        whole = place < len(self._chunks)
        known = self._open.known
        if whole:
            chunk = self._chunks[place]
            known = dict(zip(chunk.starts, chunk.lines(), strict=True))
        changed = {start: line for start, line in rows.items() if _news(known.get(start), line)}
        if not changed:
            return changed
        before = len(known)
        new = any(start not in known for start in changed)
        known |= changed
        self._count += len(known) - before
        if whole:
            starts = sorted(known)
            self._chunks[place : place + 1] = pack(starts, [known[start] for start in starts])
        elif new:
            self._open.starts = sorted(known)
            self._close()
        return changed

    def _close(self) -> None:
        """Pack what need not be open."""
        starts = self._open.starts
        count = (len(starts) - OPEN) // CHUNK * CHUNK
        if count > 0:
            older, self._open.starts = starts[:count], starts[count:]
            self._chunks += pack(older, [self._open.known.pop(start) for start in older])


def _first(chunk: Chunk) -> int:
    return chunk.starts[0]


def _news(known: bytes | None, line: bytes) -> bool:
    if known is None:
        return True
    return known != line and _held(known).version <= _held(line).version
