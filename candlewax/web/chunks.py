"""Candles as they are sent: old ones packed, as JSON and in columns, new ones as JSON."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import polars as pl
import pyarrow as pa
import zstandard

from candlewax.web import columns, encode

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

    def table(self) -> pa.Table:
        """The same in columns (`columns.SCHEMA`)."""


@dataclass(frozen=True)
class Chunk:
    """Candles, packed: about 75 bytes each for their JSON (of 470), and 80 in columns, if it
    was made from columns: to make them takes longer than one who waits for JSON should.
    """

    starts: Sequence[int]
    said: bytes
    columns: bytes | None

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return zstandard.ZstdDecompressor().decompress(self.said).split(b"\n")

    def table(self) -> pa.Table:
        """The same in columns."""
        if self.columns is None:
            return columns.parse(self.lines())
        return columns.unpack(self.columns)

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

    def table(self) -> pa.Table:
        return self.chunk.table()[self.low : self.high]


class Said(NamedTuple):
    """Candles that are JSON only."""

    starts: Sequence[int]
    said: Sequence[bytes]

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return list(self.said)

    def table(self) -> pa.Table:
        """The same in columns."""
        return columns.parse(self.said)


@dataclass(frozen=True)
class Found:
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

    def table(self) -> pa.Table:
        """The same in columns, in one piece."""
        tables = [part.table() for part in self.parts] or [columns.parse(())]
        return pa.concat_tables(tables).combine_chunks()


def said(rows: pl.DataFrame) -> Found:
    """Candles (`encode.CANDLE`) in their order, as a query gave them; in any thread."""
    if rows.is_empty():
        return Found(())
    return Found((Said(encode.starts(rows), encode.lines(encode.typed(rows))),))


def pack(
    starts: Sequence[int], lines: Sequence[bytes], rows: pl.DataFrame | None = None
) -> list[Chunk]:
    """Candles in their order, as JSON and, where there are any, in the columns of
    `encode.ROWS`, in chunks; in any thread.
    """
    return [
        Chunk(
            # Four bytes each, where a list takes forty.
            array("I", starts[at : at + CHUNK]),
            _packed(b"\n".join(lines[at : at + CHUNK])),
            None if rows is None else _small(columns.pack(rows[at : at + CHUNK])),
        )
        for at in range(0, len(starts), CHUNK)
    ]


def _packed(content: bytes) -> bytes:
    return _small(zstandard.ZstdCompressor(level=1).compress(content))


def _small(packed: bytes) -> bytes:
    # What was made keeps the room that it was given at first, four times as much.
    return bytes(bytearray(packed))
