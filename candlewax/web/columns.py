"""Candles in columns, as Arrow tables of SCHEMA, and the forms that are made of these.

All in the thread that asks: to wake others may take longer than all there is to do.
"""

import io
from collections.abc import Sequence
from typing import Final

import polars as pl
import pyarrow as pa
import zstandard
from pyarrow import ipc, json, parquet

from candlewax.web import encode

_OLDEST: Final = pl.CompatLevel.oldest()

SCHEMA: Final[pa.Schema] = pl.DataFrame(schema=encode.ROWS).to_arrow(compat_level=_OLDEST).schema
"""`encode.ROWS` in Arrow's types."""


def _said(kind: pa.DataType) -> pa.DataType:
    text = pa.types.is_decimal(kind) or pa.types.is_timestamp(kind)
    return pa.string() if text else kind


_SAID: Final = pa.schema([(field.name, _said(field.type)) for field in SCHEMA])
_HERE: Final = json.ReadOptions(use_threads=False)
_OBJECTS: Final = json.ParseOptions(explicit_schema=_SAID, unexpected_field_behavior="error")


def parse(lines: Sequence[bytes]) -> pa.Table:
    """Candles that are JSON."""
    if not lines:
        return SCHEMA.empty_table()
    said = json.read_json(io.BytesIO(b"\n".join(lines)), _HERE, _OBJECTS)
    return said.select(SCHEMA.names).cast(SCHEMA)


def pack(rows: pl.DataFrame) -> bytes:
    """Candles (`encode.ROWS`), made small."""
    return zstandard.ZstdCompressor(level=1).compress(as_arrow(rows.to_arrow(compat_level=_OLDEST)))


def unpack(packed: bytes) -> pa.Table:
    """What `pack` was given."""
    return ipc.open_stream(zstandard.ZstdDecompressor().decompress(packed)).read_all()


def as_arrow(table: pa.Table) -> bytes:
    """An Arrow stream."""
    target = io.BytesIO()
    with ipc.new_stream(target, table.schema) as stream:
        stream.write_table(table)
    return target.getvalue()


def as_parquet(table: pa.Table) -> bytes:
    """A Parquet file."""
    target = io.BytesIO()
    # Hardly a value occurs twice.
    parquet.write_table(table, target, compression="zstd", use_dictionary=False)
    return target.getvalue()
