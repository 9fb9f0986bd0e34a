"""Candles as Arrow tables of SCHEMA, and as Arrow streams and Parquet files.

All work runs in the calling thread, as waking another may take longer than the work. Only reading
CSV uses other threads.
"""

from typing import Final

import polars as pl
import pyarrow as pa
import zstandard
from pyarrow import csv, ipc, parquet

from candlewax.web import encode

SCHEMA: Final[pa.Schema] = (
    pl.DataFrame(schema=encode.ROWS).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
)
"""Arrow types of `encode.ROWS`."""

_READ_OPTIONS: Final = csv.ReadOptions(use_threads=False)
_CONVERT_OPTIONS: Final = csv.ConvertOptions(
    column_types=SCHEMA, include_columns=SCHEMA.names, null_values=[]
)


def parse(text: bytes) -> pa.Table:
    """Return candles from CSV as one Arrow table in one piece. Raises ArrowInvalid."""
    table = csv.read_csv(pa.BufferReader(text), _READ_OPTIONS, convert_options=_CONVERT_OPTIONS)
    return table.combine_chunks()


def pack(rows: pl.DataFrame) -> bytes:
    """Return candles (`encode.ROWS`) as a compressed Arrow stream."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    return zstandard.ZstdCompressor(level=1).compress(as_arrow(table))


def unpack(compressed: bytes) -> pa.Table:
    """Return the table that `pack` compressed."""
    return ipc.open_stream(zstandard.ZstdDecompressor().decompress(compressed)).read_all()


def as_arrow(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    target = pa.BufferOutputStream()
    with ipc.new_stream(target, table.schema) as stream:
        stream.write_table(table)
    return bytes(target.getvalue())


def as_parquet(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    target = pa.BufferOutputStream()
    # Values hardly repeat, so a dictionary would only cost time.
    parquet.write_table(table, target, compression="snappy", use_dictionary=False)
    return bytes(target.getvalue())
