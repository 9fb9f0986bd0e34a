"""Parquet files of the archive: encodings by column, and a footer that names their units.

A file lies in one partition of its table. Its footer holds the entry `candlewax`, JSON: schema
version, version of Candlewax, and the units with rows, content hash and sum of clocks. The footer
is the truth about what a file holds; the table `cold_units` only remembers it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.schema import Schema

from candlewax import __version__
from candlewax.cold import schemas
from candlewax.cold.layers import LAYERS, SCHEMA_VERSION, Layer
from candlewax.cold.relations import MEASURED
from candlewax.cold.units import Measure, Unit
from candlewax.runtime.times import parse_time

FOOTER: Final = b"candlewax"
"""Name of our entry in the footer."""

ROW_GROUP_ROWS: Final = 131_072

HOURLY_LEVEL: Final = 3
"""Zstandard level of new files: they are compacted a day later."""

COMPACTED_LEVEL: Final = 9
"""Zstandard level of compacted files."""

HOURLY_PAGE_BYTES: Final = 1 << 17
"""Size of a page of new files: the files of a day are merged with a page of each column open."""

COMPACTED_PAGE_BYTES: Final = 1 << 20
"""Size of a page of compacted files."""

_ENCODINGS: Final = {
    "delta": "DELTA_BINARY_PACKED",
    "prefix": "DELTA_BYTE_ARRAY",
    "plain": "PLAIN",
}


class ArchiveError(RuntimeError):
    """A part of the archive that cannot be read or is not as it must be; the message names it."""


def write_unit(
    io: FileIO, path: str, unit: Unit, schema: Schema, batches: Iterable[pa.RecordBatch]
) -> Measure:
    """Write the rows of a unit as one file, and return their measure.

    `batches` are of `relations.stream_sql`: each row brings its hash, so that the footer measures
    the very rows that were written. Raises ArchiveError if a value does not fit, such as a number
    above 2^63 - 1.
    """
    total = RunningMeasure()
    layer = LAYERS[unit.layer]
    with _open(io, path, layer, schema, HOURLY_LEVEL) as writer:
        for table in _row_groups(total.count(batches), schemas.arrow_schema(schema), str(unit)):
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        measure = total.measure()
        writer.add_key_value_metadata({FOOTER.decode(): _footer_text({unit: measure})})
    return measure


def write_units(
    io: FileIO,
    path: str,
    layer: Layer,
    schema: Schema,
    batches: Iterable[pa.RecordBatch],
    units: Mapping[Unit, Measure],
) -> None:
    """Write the rows of several units, already measured, as one compacted file.

    The footer says what `units` says: who writes must measure the file. Raises ArchiveError.
    """
    with _open(io, path, layer, schema, COMPACTED_LEVEL) as writer:
        for table in _row_groups(batches, schemas.arrow_schema(schema), layer.name):
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata({FOOTER.decode(): _footer_text(units)})
    # What merging took would otherwise stay with the process until the next merge.
    pa.default_memory_pool().release_unused()


class RunningMeasure:
    """Measure of the rows of a stream that went by."""

    def __init__(self) -> None:
        self._rows = self._low = self._high = self._clocks = 0

    def count(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the batches without the columns MEASURED, and count their rows, hashes, clocks."""
        for batch in batches:
            low, high, clocks = (self._sum(batch.column(name)) for name in MEASURED)
            self._rows += batch.num_rows
            self._low += low
            self._high += high
            self._clocks += clocks
            yield batch.drop_columns(list(MEASURED))

    @staticmethod
    def _sum(column: pa.Array) -> int:
        """Return the sum of 64-bit numbers, which may need more than 64 bits."""
        values = pl.Series(pl.from_arrow(column))
        return int((values & 0xFFFF_FFFF).sum()) + (int((values // (1 << 32)).sum()) << 32)

    def measure(self) -> Measure:
        """Return the measure of the rows so far."""
        content = f"{self._high % (1 << 64):016x}{self._low % (1 << 64):016x}"
        return Measure(self._rows, content, self._clocks)


@contextmanager
def _open(
    io: FileIO, path: str, layer: Layer, schema: Schema, level: int
) -> Iterator[pq.ParquetWriter]:
    target = schemas.arrow_schema(schema)
    with (
        io.new_output(path).create(overwrite=False) as stream,
        pq.ParquetWriter(stream, target, **_options(layer, level)) as writer,
    ):
        yield writer


def _row_groups(
    batches: Iterable[pa.RecordBatch], target: pa.Schema, name: str
) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    waiting_rows = 0
    for batch in batches:
        waiting.append(batch)
        waiting_rows += batch.num_rows
        if waiting_rows >= ROW_GROUP_ROWS:
            yield _cast(waiting, target, name)
            waiting, waiting_rows = [], 0
    if waiting_rows:
        yield _cast(waiting, target, name)


def _cast(batches: list[pa.RecordBatch], target: pa.Schema, name: str) -> pa.Table:
    try:
        return pa.Table.from_batches(batches).cast(target)
    except (pa.ArrowInvalid, ValueError) as error:
        raise ArchiveError(f"{name}: a value does not fit its column: {error}") from error


def _options(layer: Layer, level: int) -> dict[str, Any]:
    encodings = {
        path: _ENCODINGS[column.encoding]
        for column in layer.columns
        if column.encoding != "dict"
        for path in schemas.leaf_path(column)
    }
    return {
        "compression": "zstd",
        "compression_level": level,
        "data_page_size": HOURLY_PAGE_BYTES if level == HOURLY_LEVEL else COMPACTED_PAGE_BYTES,
        "data_page_version": "2.0",
        "use_dictionary": [
            path
            for column in layer.columns
            if column.encoding == "dict"
            for path in schemas.leaf_path(column)
        ],
        "column_encoding": encodings,
        "store_schema": False,
        "write_page_index": True,
        "write_page_checksum": True,
    }


def _footer_text(units: Mapping[Unit, Measure]) -> str:
    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "candlewax": __version__,
            "units": [
                {
                    "layer": unit.layer,
                    "exchange": unit.exchange,
                    "begin": unit.begin.isoformat(),
                    "rows": measure.rows,
                    "content": measure.content,
                    "clocks": measure.clocks,
                }
                for unit, measure in sorted(units.items())
            ],
        }
    )


_footers: WeakKeyDictionary[FileIO, dict[str, Mapping[Unit, Measure]]] = WeakKeyDictionary()
"""Units by FileIO and path. A FileIO must not be kept: each load of a table brings a new one."""


def read_units(io: FileIO, path: str) -> Mapping[Unit, Measure]:
    """Return the units of a file by its footer; each FileIO reads it once. Raises ArchiveError."""
    known = _footers.setdefault(io, {})
    if path not in known:
        known[path] = _read_units(io, path)
    return known[path]


def _read_units(io: FileIO, path: str) -> Mapping[Unit, Measure]:
    try:
        with io.new_input(path).open() as stream:
            entries = pq.read_metadata(stream).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(f"{path}: cannot be read: {error}") from error
    text = entries.get(FOOTER)
    if text is None:
        raise ArchiveError(f"{path}: not written by Candlewax: its footer names no units")
    found = json.loads(text)
    if found["schema_version"] > SCHEMA_VERSION:
        raise ArchiveError(
            f"{path}: written by Candlewax {found['candlewax']}, which is newer than this one"
        )
    return {
        Unit(one["layer"], one["exchange"], parse_time(one["begin"])): Measure(
            one["rows"], one["content"], one["clocks"]
        )
        for one in found["units"]
        if one["layer"] in LAYERS
    }
