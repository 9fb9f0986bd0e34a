"""Candles in columns, as Arrow tables of SCHEMA, and the forms that are made of these.

In the thread that asks: to wake another may take longer than all there is to do. Only to read
CSV takes others.
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
"""`encode.ROWS` in Arrow's types."""

_READING: Final = csv.ReadOptions(use_threads=False)
_EXACT: Final = csv.ConvertOptions(
    column_types=SCHEMA, include_columns=SCHEMA.names, null_values=[]
)


def parse(text: bytes) -> pa.Table:
    """Candles that are CSV, in one piece. Raises ArrowInvalid for what is none."""
    read = csv.read_csv(pa.BufferReader(text), _READING, convert_options=_EXACT)
    return read.combine_chunks()


def pack(rows: pl.DataFrame) -> bytes:
    """Candles (`encode.ROWS`), made small."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    return zstandard.ZstdCompressor(level=1).compress(as_arrow(table))


def unpack(packed: bytes) -> pa.Table:
    """What `pack` was given."""
    return ipc.open_stream(zstandard.ZstdDecompressor().decompress(packed)).read_all()


def as_arrow(table: pa.Table) -> bytes:
    """An Arrow stream."""
    target = pa.BufferOutputStream()
    with ipc.new_stream(target, table.schema) as stream:
        stream.write_table(table)
    return bytes(target.getvalue())


def as_parquet(table: pa.Table) -> bytes:
    """A Parquet file."""
    target = pa.BufferOutputStream()
    # Hardly a value occurs twice.
    parquet.write_table(table, target, compression="snappy", use_dictionary=False)
    return bytes(target.getvalue())
