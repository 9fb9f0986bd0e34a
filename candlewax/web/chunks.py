"""Candles as they are sent: old ones packed, as JSON and as CSV, new ones as JSON."""

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

    def listed(self) -> list[bytes]:
        """Their rows of CSV."""


@dataclass(frozen=True)
class Chunk:
    """Candles, packed: about 75 bytes each for their JSON (of 470), and 65 for their rows of
    CSV, where there was time to make these.
    """

    starts: Sequence[int]
    said: bytes
    rows: bytes | None

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return _unpacked(self.said)

    def listed(self) -> list[bytes]:
        """Their rows of CSV."""
        return encode.listed(self.lines()) if self.rows is None else _unpacked(self.rows)

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


class Said(NamedTuple):
    """Candles that are JSON only."""

    starts: Sequence[int]
    said: Sequence[bytes]

    def lines(self) -> list[bytes]:
        """The JSON of each."""
        return list(self.said)

    def listed(self) -> list[bytes]:
        """Their rows of CSV."""
        return encode.listed(self.said)


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

    def csv(self) -> bytes:
        """All as CSV."""
        return encode.csv(row for part in self.parts for row in part.listed())

    def table(self) -> pa.Table:
        """All in columns (`columns.SCHEMA`)."""
        return columns.parse(self.csv())


def said(rows: pl.DataFrame) -> Found:
    """Candles (`encode.CANDLE`) in their order, as a query gave them; in any thread."""
    if rows.is_empty():
        return Found(())
    return Found((Said(encode.starts(rows), encode.lines(rows)),))


def pack(
    starts: Sequence[int], lines: Sequence[bytes], rows: Sequence[bytes] | None = None
) -> list[Chunk]:
    """Candles in their order, as JSON and, where there are any, as rows of CSV, in chunks;
    in any thread.
    """
    return [
        Chunk(
            # Four bytes each, where a list takes forty.
            array("I", starts[at : at + CHUNK]),
            _packed(lines[at : at + CHUNK]),
            None if rows is None else _packed(rows[at : at + CHUNK]),
        )
        for at in range(0, len(starts), CHUNK)
    ]


def _packed(lines: Sequence[bytes]) -> bytes:
    packed = zstandard.ZstdCompressor(level=1).compress(b"\n".join(lines))
    # What it gives keeps the room that it was given at first, four times as much.
    return bytes(bytearray(packed))


def _unpacked(packed: bytes) -> list[bytes]:
    return zstandard.ZstdDecompressor().decompress(packed).split(b"\n")
