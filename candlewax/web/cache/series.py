"""Encoded candles of one series: old ones in compressed chunks, new ones uncompressed."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from candlewax.web import encode
from candlewax.web.cache.chunks import CHUNK, CandlePage, Chunk, JsonCandles, Part, pack, pack_all

LATEST: Final = 4_291_747_200
"""The year 2106 in seconds since 1970: times in the tables end there, so every candle begins
before."""

OPEN: Final = 64
"""Newest candles of a series that stay uncompressed at least, as they still change."""


@dataclass(frozen=True)
class LoadedCandles:
    """Candles of a series as a query gave them: complete from `since` to the cached ones."""

    since: int
    chunks: Sequence[Chunk]
    uncompressed: Mapping[int, bytes]


def pack_loaded(since: int, rows: pl.DataFrame, open_count: int) -> LoadedCandles:
    """Return candles (`encode.ROWS`) split in chunks and the last `still` uncompressed ones.
    Thread-safe.
    """
    older, last = rows.head(max(0, rows.height - open_count)), rows.tail(open_count)
    uncompressed = dict(zip(encode.starts(last), encode.lines(last), strict=True))
    return LoadedCandles(since, pack_all(older), uncompressed)


@dataclass
class _Open:
    starts: list[int] = field(default_factory=list)
    lines: dict[int, bytes] = field(default_factory=dict)

    def cut(self, low: int, high: int) -> JsonCandles:
        starts = self.starts[low:high]
        return JsonCandles(starts, [self.lines[start] for start in starts])


class _VersionFields(msgspec.Struct):
    trade_count: int
    closed: bool

    @property
    def version(self) -> int:
        """Return the version as in `ohlcv`; the table shows the row with the greatest."""
        return 2 * self.trade_count + self.closed


_decode: Final = msgspec.json.Decoder(_VersionFields).decode


class SeriesCache:
    """Candles of a series that begin at `since` (seconds since 1970) or later."""

    def __init__(self) -> None:
        self.since = LATEST
        self._chunks: list[Chunk] = []
        self._open = _Open()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, loaded: LoadedCandles) -> None:
        """Add older candles before the cached ones."""
        self.since = loaded.since
        self._chunks[:0] = loaded.chunks
        self._count += sum(len(chunk.starts) for chunk in loaded.chunks)
        self.put(loaded.uncompressed)

    def shorten(self) -> int:
        """Drop the oldest chunk, if there is one; return how many candles it held."""
        if not self._chunks:
            return 0
        chunk = self._chunks.pop(0)
        self.since = chunk.starts[-1] + 1
        self._count -= len(chunk.starts)
        return len(chunk.starts)

    def page(self, begin: int, end: int, limit: int, *, last: bool) -> CandlePage | None:
        """Return the first or `last` candles that begin in a time range, oldest first.

        Returns None if the cache does not hold all of them.
        """
        if begin < self.since and not last:
            return None
        parts: list[Part] = []
        remaining = limit
        for part in self._parts(begin, end, last=last):
            low, high = bisect_left(part.starts, begin), bisect_left(part.starts, end)
            low, high = (
                (max(low, high - remaining), high) if last else (low, min(high, low + remaining))
            )
            if low < high:
                parts.append(part.cut(low, high))
                remaining -= high - low
            if not remaining:
                break
        if remaining and begin < self.since:
            return None
        return CandlePage(parts[::-1] if last else parts)

    def _parts(self, begin: int, end: int, *, last: bool) -> Iterator[Chunk | _Open]:
        """Return the parts that may hold candles of a time range, in order or from the end."""
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
        """Apply rows of candles by start; return those that changed something.

        A row of a lower version than the cached one changes nothing, as in the table.
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
        # From the end, as a chunk that grows too large becomes two.
        for place, rows in sorted(by_part.items(), reverse=True):
            changed |= self._put(place, rows)
        return changed

    def _put(self, place: int, rows: Mapping[int, bytes]) -> dict[int, bytes]:
        is_chunk = place < len(self._chunks)
        lines = self._open.lines
        if is_chunk:
            chunk = self._chunks[place]
            lines = dict(zip(chunk.starts, chunk.lines(), strict=True))
        changed = {
            start: line for start, line in rows.items() if _is_change(lines.get(start), line)
        }
        if not changed:
            return changed
        old_count = len(lines)
        has_new = any(start not in lines for start in changed)
        lines |= changed
        self._count += len(lines) - old_count
        if is_chunk:
            self._chunks[place : place + 1] = _chunks(sorted(lines), lines)
        elif has_new:
            self._open.starts = sorted(lines)
            self._compress_older()
        return changed

    def _compress_older(self) -> None:
        """Compress candles beyond those that stay uncompressed."""
        starts = self._open.starts
        count = (len(starts) - OPEN) // CHUNK * CHUNK
        if count > 0:
            older, self._open.starts = starts[:count], starts[count:]
            self._chunks += _chunks(older, self._open.lines)
            for start in older:
                del self._open.lines[start]


def _chunks(starts: Sequence[int], lines: Mapping[int, bytes]) -> list[Chunk]:
    return pack(starts, [lines[start] for start in starts])


def _first(chunk: Chunk) -> int:
    return chunk.starts[0]


def _is_change(cached: bytes | None, line: bytes) -> bool:
    if cached is None:
        return True
    return cached != line and _decode(cached).version <= _decode(line).version
