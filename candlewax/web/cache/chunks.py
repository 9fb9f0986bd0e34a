"""Candles as they are sent: old ones packed, in each form, new ones as JSON."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import polars as pl
import pyarrow as pa
import zstandard

from candlewax.web import encode
from candlewax.web.cache import columns

CHUNK: Final = 512
"""Candles that are packed together. To open a chunk lets go of the interpreter's lock, so
there should be few of them in an answer."""


class Part(Protocol):
    """Candles that follow each other; they do not change any more."""

    @property
    def starts(self) -> Sequence[int]:
        """When they begin, in seconds since 1970."""

    def lines(self) -> list[bytes]:
        """The JSON of each."""

    def listed(self) -> list[bytes]:
        """Their rows of CSV."""

    def table(self) -> pa.Table:
        """The same in columns (`columns.SCHEMA`)."""


class OtherFormats(NamedTuple):
    """Candles in the forms that are not JSON, packed: about 65 bytes each as rows of CSV, 80
    in columns.
    """

    listed: bytes
    columns: bytes


@dataclass(frozen=True)
class Chunk:
    """Candles, packed: about 75 bytes each for their JSON (of 470), and more where there was
    time to make it.
    """

    starts: Sequence[int]
    said: bytes
    more: OtherFormats | None

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return _unpacked(self.said)

    def listed(self) -> list[bytes]:
        """Their rows of CSV."""
        return _unpacked(self.more.listed) if self.more else encode.listed(self.lines())

    def table(self) -> pa.Table:
        """The same in columns."""
        return columns.unpack(self.more.columns) if self.more else _table(self.listed())

    def cut(self, low: int, high: int) -> Part:
        """Some of them."""
        return _Slice(self, low, high)


class _Slice(NamedTuple):
    chunk: Chunk
    low: int
    high: int

    @property
    def starts(self) -> Sequence[int]:
        return self.chunk.starts[self.low : self.high]

    def lines(self) -> list[bytes]:
        return self.chunk.lines()[self.low : self.high]

    def listed(self) -> list[bytes]:
        return self.chunk.listed()[self.low : self.high]

    def table(self) -> pa.Table:
        return self.chunk.table()[self.low : self.high]


class JsonCandles(NamedTuple):
    """Candles that are JSON only."""

    starts: Sequence[int]
    said: Sequence[bytes]

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return list(self.said)

    def listed(self) -> list[bytes]:
        """Their rows of CSV."""
        return encode.listed(self.said)

    def table(self) -> pa.Table:
        """The same in columns."""
        return _table(self.listed())


@dataclass(frozen=True)
class CandlePage:
    """Candles of a series in their order, in parts none of which is empty."""

    parts: Sequence[Part]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(len(part.starts) for part in self.parts)

    @property
    def first(self) -> int:
        """When the first one begins; there must be one."""
        return self.parts[0].starts[0]

    @property
    def last(self) -> int:
        """When the last one begins; there must be one."""
        return self.parts[-1].starts[-1]

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return [line for part in self.parts for line in part.lines()]

    def csv(self) -> bytes:
        """All as CSV."""
        return encode.csv(row for part in self.parts for row in part.listed())

    def table(self) -> pa.Table:
        """All in columns, in one piece."""
        tables = [part.table() for part in self.parts] or [_table(())]
        return pa.concat_tables(tables).combine_chunks()


def said(rows: pl.DataFrame) -> CandlePage:
    """Candles (`encode.CANDLE`) in their order, as a query gave them; in any thread."""
    if rows.is_empty():
        return CandlePage(())
    return CandlePage((JsonCandles(encode.starts(rows), encode.lines(rows)),))


def pack(starts: Sequence[int], lines: Sequence[bytes]) -> list[Chunk]:
    """Candles in their order, as JSON, in chunks; in any thread."""
    return [
        # Four bytes each, where a list takes forty.
        Chunk(array("I", starts[at : at + CHUNK]), _packed(lines[at : at + CHUNK]), None)
        for at in range(0, len(starts), CHUNK)
    ]


def pack_all(rows: pl.DataFrame) -> list[Chunk]:
    """Candles (`encode.ROWS`) in their order, in all forms, in chunks; in any thread."""
    starts, (lines, listed) = encode.starts(rows), encode.texts(rows)
    more = (
        OtherFormats(_packed(listed[at : at + CHUNK]), _small(columns.pack(rows[at : at + CHUNK])))
        for at in range(0, len(starts), CHUNK)
    )
    return [replace(chunk, more=own) for chunk, own in zip(pack(starts, lines), more, strict=True)]


def _packed(lines: Sequence[bytes]) -> bytes:
    return _small(zstandard.ZstdCompressor(level=1).compress(b"\n".join(lines)))


def _small(packed: bytes) -> bytes:
    # What was made keeps the room that it was given at first, four times as much.
    return bytes(bytearray(packed))


def _unpacked(packed: bytes) -> list[bytes]:
    return zstandard.ZstdDecompressor().decompress(packed).split(b"\n")


def _table(listed: Sequence[bytes]) -> pa.Table:
    return columns.parse(encode.csv(listed))
