"""How rows get into an embedded engine."""

import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
from clickhouse_connect.driver.binding import format_str, quote_identifier
from clickhouse_connect.driver.exceptions import DatabaseError

from candlewax.clickhouse import engine

BESIDE: Final = 64 << 10
"""Bytes of rows that stand beside their statement; more of them come by way of a file."""

_END: Final = b"\n\n"
"""What the engine takes for the end of rows that stand beside a statement."""

_OPEN: Final = Path("/proc/self/fd")
"""Where Linux shows the files that a process has open."""

_PIECE: Final = 64 << 10
"""Bytes that are written at once: Arrow writes in many small pieces."""

_ALONE: Final = {
    # What they would write costs time with each insert of a few rows.
    "log_queries": 0,
    "memory_profiler_step": 0,
    "query_profiler_cpu_time_period_ns": 0,
    "query_profiler_real_time_period_ns": 0,
}
"""Of an embedded engine, whose own logs nobody reads."""


class Inserts:
    """Inserts into one database of the engine of this process, one at a time.

    `run` gives a statement to the client. Few rows take a way of their own: with the client
    they would have to be text, and a file costs as much as writing their part.
    """

    def __init__(self, folder: Path, database: str, run: Callable[[str], object]) -> None:
        self._place = str(folder.resolve())
        self._database = database
        self._run = run
        self._engine: Any = None
        self._let_go: Callable[[], object] = lambda: None
        self._spool, self._name = _temporary()

    def insert(self, table: str, rows: pa.Table, settings: Mapping[str, object]) -> None:
        """Insert rows as one block. Raises DatabaseError of clickhouse-connect."""
        chosen = {**settings, **_ALONE}.items()
        into = f"INSERT INTO {quote_identifier(self._database)}.{quote_identifier(table)}"
        into += f" ({', '.join(map(quote_identifier, rows.schema.names))})"
        clause = ", ".join(f"{name} = {format_str(str(value))}" for name, value in chosen)
        if rows.nbytes <= BESIDE and _END not in (data := _stream(rows)):
            sql = f"{into} SETTINGS {clause} FORMAT ArrowStream\n"
            self._insert_beside(sql.encode() + data, rows.num_rows)
            return
        self._write(rows)
        # As a command it would be looked through for an answer's format.
        file = format_str(self._name)
        self._run(f"{into} FROM INFILE {file} SETTINGS {clause} FORMAT ArrowStream")

    def _insert_beside(self, statement: bytes, rows: int) -> None:
        if self._engine is None:
            self._engine = engine.connect(self._place)
            # At the latest as the process ends: an engine that is held then takes it down.
            self._let_go = weakref.finalize(self, self._engine.close)
        try:
            written = self._engine.query(statement, "Null").rows_written()
        except Exception as error:  # not the ChdbError that is exported
            raise DatabaseError(str(error)) from error
        if written != rows:
            raise DatabaseError(f"of {rows} rows the engine took {written}")

    def _write(self, rows: pa.Table) -> None:
        """Writing over the same file again and again is faster than a new one each time."""
        self._spool.seek(0)
        write(pa.PythonFile(self._spool, mode="w"), rows)
        self._spool.truncate()
        self._spool.flush()

    def close(self) -> None:
        """Let go of the engine."""
        self._let_go()
        self._spool.close()


def _temporary() -> tuple[IO[bytes], str]:
    """A file that is closed with its database, and how the engine finds it. Where a system
    shows the files that a process has open it has no other name: nothing of it is left by a
    process that is killed.
    """
    if _OPEN.is_dir():
        file = tempfile.TemporaryFile(buffering=_PIECE)  # noqa: SIM115 - closed with its database
        return file, str(_OPEN / str(file.fileno()))
    named = tempfile.NamedTemporaryFile(buffering=_PIECE)  # noqa: SIM115 - closed with its database
    return named, named.name


def write(target: Any, rows: pa.Table) -> None:  # noqa: ANN401 - Arrow has no types
    """Write rows as an Arrow stream."""
    with pa.ipc.new_stream(target, rows.schema) as writer:
        writer.write_table(rows)


def _stream(rows: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    write(stream, rows)
    return bytes(stream.getvalue().to_pybytes())
