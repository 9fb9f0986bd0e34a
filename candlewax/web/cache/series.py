"""The candles of one series as they are sent, kept small: old ones packed, new ones open."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from candlewax.web import encode
from candlewax.web.cache.chunks import CHUNK, CandlePage, Chunk, JsonCandles, Part, pack, pack_all

LATEST: Final = 4_291_747_200
"""The year 2106 in seconds since 1970: every candle begins before, as the table's times end
there."""

OPEN: Final = 64
"""The last candles of a series, at least, stay open, as they still change."""


@dataclass(frozen=True)
class Read:
    """Candles of a series as they were read: all from `since` on up to what was known."""

    since: int
    chunks: Sequence[Chunk]
    rest: Mapping[int, bytes]


def read(since: int, rows: pl.DataFrame, still: int) -> Read:
    """Candles (`encode.ROWS`) in their order, the last ones of which are `still` open; in
    any thread.
    """
    older, last = rows.head(max(0, rows.height - still)), rows.tail(still)
    rest = dict(zip(encode.starts(last), encode.lines(last), strict=True))
    return Read(since, pack_all(older), rest)


@dataclass
class _Open:
    starts: list[int] = field(default_factory=list)
    known: dict[int, bytes] = field(default_factory=dict)

    def cut(self, low: int, high: int) -> JsonCandles:
        starts = self.starts[low:high]
        return JsonCandles(starts, [self.known[start] for start in starts])


class _Held(msgspec.Struct):
    trade_count: int
    closed: bool

    @property
    def version(self) -> int:
        """As in `ohlcv`: of two rows of a candle the table shows the one with more."""
        return 2 * self.trade_count + self.closed


_held: Final = msgspec.json.Decoder(_Held).decode


class SeriesCache:
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

    def between(self, begin: int, end: int, limit: int, *, last: bool) -> CandlePage | None:
        """The first or the `last` so many candles that begin in a time, in its order; None
        if not all of them are here.
        """
        if begin < self.since and not last:
            return None
        found: list[Part] = []
        rest = limit
        for part in self._parts(begin, end, last=last):
            low, high = bisect_left(part.starts, begin), bisect_left(part.starts, end)
            low, high = (max(low, high - rest), high) if last else (low, min(high, low + rest))
            if low < high:
                found.append(part.cut(low, high))
                rest -= high - low
            if not rest:
                break
        if rest and begin < self.since:
            return None
        return CandlePage(found[::-1] if last else found)

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
            self._chunks[place : place + 1] = _chunks(sorted(known), known)
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
            self._chunks += _chunks(older, self._open.known)
            for start in older:
                del self._open.known[start]


def _chunks(starts: Sequence[int], known: Mapping[int, bytes]) -> list[Chunk]:
    return pack(starts, [known[start] for start in starts])


def _first(chunk: Chunk) -> int:
    return chunk.starts[0]


def _news(known: bytes | None, line: bytes) -> bool:
    if known is None:
        return True
    return known != line and _held(known).version <= _held(line).version
