"""Encoded candles: old ones compressed in every form, new ones as JSON."""

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
"""Candles per chunk. Decompressing a chunk releases the interpreter's lock, so an answer should
need few."""


class Part(Protocol):
    """Consecutive encoded candles that do not change any more."""

    @property
    def starts(self) -> Sequence[int]:
        """Return their starts in seconds since 1970."""

    def lines(self) -> list[bytes]:
        """Return the JSON of each candle."""

    def csv_rows(self) -> list[bytes]:
        """Return the candles as rows of CSV."""

    def table(self) -> pa.Table:
        """Return the candles as an Arrow table (`columns.SCHEMA`)."""


class OtherFormats(NamedTuple):
    """Compressed candles in forms other than JSON: about 65 bytes each as CSV, 80 as columns."""

    csv_rows: bytes
    columns: bytes


@dataclass(frozen=True)
class Chunk:
    """Compressed candles: about 75 bytes each as JSON (470 uncompressed), other forms optional."""

    starts: Sequence[int]
    json: bytes
    others: OtherFormats | None

    def lines(self) -> list[bytes]:
        """Return the JSON of each candle."""
        return _decompress_lines(self.json)

    def csv_rows(self) -> list[bytes]:
        """Return the candles as rows of CSV."""
        return (
            _decompress_lines(self.others.csv_rows)
            if self.others
            else encode.csv_rows(self.lines())
        )

    def table(self) -> pa.Table:
        """Return the candles as an Arrow table."""
        return columns.unpack(self.others.columns) if self.others else _table(self.csv_rows())

    def cut(self, low: int, high: int) -> Part:
        """Return the candles from `low` to `high`, exclusive."""
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

    def csv_rows(self) -> list[bytes]:
        return self.chunk.csv_rows()[self.low : self.high]

    def table(self) -> pa.Table:
        return self.chunk.table()[self.low : self.high]


class JsonCandles(NamedTuple):
    """Candles encoded as JSON only."""

    starts: Sequence[int]
    json_lines: Sequence[bytes]

    def lines(self) -> list[bytes]:
        """Return the JSON of each candle."""
        return list(self.json_lines)

    def csv_rows(self) -> list[bytes]:
        """Return the candles as rows of CSV."""
        return encode.csv_rows(self.json_lines)

    def table(self) -> pa.Table:
        """Return the candles as an Arrow table."""
        return _table(self.csv_rows())


@dataclass(frozen=True)
class CandlePage:
    """Candles of a series, oldest first, in parts of which none is empty."""

    parts: Sequence[Part]

    @property
    def count(self) -> int:
        """Return how many candles there are."""
        return sum(len(part.starts) for part in self.parts)

    @property
    def first(self) -> int:
        """Return the start of the first candle; the page must not be empty."""
        return self.parts[0].starts[0]

    @property
    def last(self) -> int:
        """Return the start of the last candle; the page must not be empty."""
        return self.parts[-1].starts[-1]

    def lines(self) -> list[bytes]:
        """Return the JSON of each candle."""
        return [line for part in self.parts for line in part.lines()]

    def csv(self) -> bytes:
        """Return all candles as CSV with a header."""
        return encode.csv(row for part in self.parts for row in part.csv_rows())

    def table(self) -> pa.Table:
        """Return all candles as one Arrow table in one piece."""
        tables = [part.table() for part in self.parts] or [_table(())]
        return pa.concat_tables(tables).combine_chunks()


def make_page(rows: pl.DataFrame) -> CandlePage:
    """Return candles from a query (`encode.CANDLE`) as a page. Thread-safe."""
    if rows.is_empty():
        return CandlePage(())
    return CandlePage((JsonCandles(encode.starts(rows), encode.lines(rows)),))


def pack(starts: Sequence[int], lines: Sequence[bytes]) -> list[Chunk]:
    """Return candles encoded as JSON in compressed chunks. Thread-safe."""
    return [
        # Four bytes per candle; a list takes forty.
        Chunk(array("I", starts[at : at + CHUNK]), _compress_lines(lines[at : at + CHUNK]), None)
        for at in range(0, len(starts), CHUNK)
    ]


def pack_all(rows: pl.DataFrame) -> list[Chunk]:
    """Return candles (`encode.ROWS`) in compressed chunks with all forms. Thread-safe."""
    starts, (lines, csv_rows) = encode.starts(rows), encode.json_and_csv(rows)
    others = (
        OtherFormats(
            _compress_lines(csv_rows[at : at + CHUNK]), _shrink(columns.pack(rows[at : at + CHUNK]))
        )
        for at in range(0, len(starts), CHUNK)
    )
    return [
        replace(chunk, others=forms)
        for chunk, forms in zip(pack(starts, lines), others, strict=True)
    ]


def _compress_lines(lines: Sequence[bytes]) -> bytes:
    return _shrink(zstandard.ZstdCompressor(level=1).compress(b"\n".join(lines)))


def _shrink(compressed: bytes) -> bytes:
    # The compressor's result keeps its first allocation, four times its size.
    return bytes(bytearray(compressed))


def _decompress_lines(compressed: bytes) -> list[bytes]:
    return zstandard.ZstdDecompressor().decompress(compressed).split(b"\n")


def _table(csv_rows: Sequence[bytes]) -> pa.Table:
    return columns.parse(encode.csv(csv_rows))
