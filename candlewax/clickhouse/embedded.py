"""Inserts into an embedded engine, in the statement itself or through a file."""

import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
from clickhouse_connect.driver.binding import format_str, quote_identifier
from clickhouse_connect.driver.exceptions import DatabaseError

from candlewax.clickhouse import engine

INLINE_MAX_BYTES: Final = 64 << 10
"""Bytes of rows up to which they follow their statement; more rows go through a file."""

_END_OF_DATA: Final = b"\n\n"
"""Bytes that end the rows behind a statement for the engine."""

_OPEN_FILES: Final = Path("/proc/self/fd")
"""Folder in which Linux lists the open files of a process."""

_BUFFER_BYTES: Final = 64 << 10
"""Bytes written to the file at once: Arrow writes in many small pieces."""

_EMBEDDED_SETTINGS: Final = {
    # Writing these logs costs time in each insert of a few rows.
    "log_queries": 0,
    "memory_profiler_step": 0,
    "query_profiler_cpu_time_period_ns": 0,
    "query_profiler_real_time_period_ns": 0,
}
"""Settings that turn off the engine's own logs, which are unused in an embedded engine."""


class EmbeddedInserter:
    """Inserts into one database of the engine of this process, one at a time.

    `run` sends a statement through the client. Few rows bypass the client: it would take them
    only as text, and a file would cost as much as writing their part.
    """

    def __init__(self, folder: Path, database: str, run: Callable[[str], object]) -> None:
        self._path = str(folder.resolve())
        self._database = database
        self._run = run
        self._engine: Any = None
        self._close_engine: Callable[[], object] = lambda: None
        self._spool_file, self._spool_path = _open_spool_file()

    def insert(self, table: str, rows: pa.Table, settings: Mapping[str, object]) -> None:
        """Insert rows as one block. Raises the DatabaseError of clickhouse-connect."""
        all_settings = {**settings, **_EMBEDDED_SETTINGS}.items()
        into = f"INSERT INTO {quote_identifier(self._database)}.{quote_identifier(table)}"
        into += f" ({', '.join(map(quote_identifier, rows.schema.names))})"
        clause = ", ".join(f"{name} = {format_str(str(value))}" for name, value in all_settings)
        if rows.nbytes <= INLINE_MAX_BYTES and _END_OF_DATA not in (data := _arrow_bytes(rows)):
            sql = f"{into} SETTINGS {clause} FORMAT ArrowStream\n"
            self._insert_inline(sql.encode() + data, rows.num_rows)
            return
        self._write_spool_file(rows)
        # The client's `command` would search the statement for the format of its answer.
        file = format_str(self._spool_path)
        self._run(f"{into} FROM INFILE {file} SETTINGS {clause} FORMAT ArrowStream")

    def _insert_inline(self, statement: bytes, row_count: int) -> None:
        if self._engine is None:
            self._engine = engine.connect(self._path)
            # Close it before the process ends: an open engine ends the process with a signal.
            self._close_engine = weakref.finalize(self, self._engine.close)
        try:
            written = self._engine.query(statement, "Null").rows_written()
        except Exception as error:  # chDB raises another class than the ChdbError it exports
            raise DatabaseError(str(error)) from error
        if written != row_count:
            raise DatabaseError(f"of {row_count} rows the engine took {written}")

    def _write_spool_file(self, rows: pa.Table) -> None:
        # Overwriting one file is faster than creating a new one for each insert.
        self._spool_file.seek(0)
        write_arrow_stream(pa.PythonFile(self._spool_file, mode="w"), rows)
        self._spool_file.truncate()
        self._spool_file.flush()

    def close(self) -> None:
        """Close the engine's connection and the file."""
        self._close_engine()
        self._spool_file.close()


def _open_spool_file() -> tuple[IO[bytes], str]:
    """Return an open temporary file, and the path under which the engine reads it.

    On Linux the file has no name but its entry in `/proc/self/fd`, so a killed process leaves
    nothing behind.
    """
    if _OPEN_FILES.is_dir():
        file = tempfile.TemporaryFile(buffering=_BUFFER_BYTES)  # noqa: SIM115 - closed with its database
        return file, str(_OPEN_FILES / str(file.fileno()))
    named_file = tempfile.NamedTemporaryFile(buffering=_BUFFER_BYTES)  # noqa: SIM115 - as above
    return named_file, named_file.name


def write_arrow_stream(target: Any, rows: pa.Table) -> None:  # noqa: ANN401 - Arrow has no types
    """Write rows as an Arrow stream."""
    with pa.ipc.new_stream(target, rows.schema) as writer:
        writer.write_table(rows)


def _arrow_bytes(rows: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    write_arrow_stream(stream, rows)
    return bytes(stream.getvalue().to_pybytes())
