"""The database: embedded chDB in a directory, or a ClickHouse server."""

import fcntl
import os
import tempfile
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Final

import clickhouse_connect
import polars as pl
import pyarrow as pa
from clickhouse_connect.driver.binding import format_str, quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.connectors import ddl
from candlewax.settings import Server

INSERT: Final = {
    # Set, not assumed: their defaults differ between versions.
    "async_insert": 0,
    "insert_deduplicate": 1,
    # Sinks hand each row over once, so there is nothing for it to merge.
    "optimize_on_insert": 0,
    # No row holds a null.
    "input_format_null_as_default": 0,
}


class DatabaseError(RuntimeError):
    """The database cannot be opened; the text says which and why."""


class Database:
    """One database of one ClickHouse, safe to use from several threads."""

    def __init__(self, client: Client, *, embedded: bool) -> None:
        self.client = client
        self._spool = _temporary() if embedded else None
        # An embedded engine runs one query of a connection at a time.
        self._lock = threading.RLock()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The rows of a query. Parameters stand in it as `{name:Type}`."""
        with self._lock:
            return pl.DataFrame(self.client.query_arrow(sql, parameters=dict(parameters or {})))

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows as one block. The same token again inserts nothing."""
        settings = {**INSERT, "insert_deduplication_token": token}
        with self._lock:
            if self._spool:
                self._insert_file(self._spool, table, rows, settings)
                return
            stream = pa.BufferOutputStream()
            _write(stream, rows)
            self.client.raw_insert(
                table,
                column_names=rows.schema.names,
                # Sent in one go, without a copy.
                insert_block=memoryview(stream.getvalue()),  # type: ignore[arg-type]
                fmt="ArrowStream",
                settings=settings,
            )

    def _insert_file(
        self, spool: IO[bytes], table: str, rows: pa.Table, settings: dict[str, Any]
    ) -> None:
        """Let the embedded engine read the rows from a file. Writing over the same
        file again and again is faster than a new one each time.
        """
        spool.seek(0)
        _write(pa.PythonFile(spool, mode="w"), rows)
        spool.truncate()
        columns = ", ".join(quote_identifier(name) for name in rows.schema.names)
        clauses = ", ".join(
            f"{name} = {format_str(str(value))}" for name, value in settings.items()
        )
        self.client.command(
            f"INSERT INTO {quote_identifier(table)} ({columns}) "
            f"FROM INFILE {format_str(spool.name)} SETTINGS {clauses} FORMAT ArrowStream"
        )

    def close(self) -> None:
        """Let go of the database, so that another process may open it."""
        with self._lock:
            self.client.close()
            if self._spool:
                self._spool.close()


def _temporary() -> IO[bytes]:
    # Closed with its database.
    return tempfile.NamedTemporaryFile(suffix=".arrow", buffering=0)


def _write(target: Any, rows: pa.Table) -> None:  # noqa: ANN401 - Arrow has no types
    with pa.ipc.new_stream(target, rows.schema) as writer:
        writer.write_table(rows)


def connect(place: Path | Server, database: str) -> Database:
    """Open a database that is there.

    Raises DatabaseError.
    """
    if isinstance(place, Path) and not place.is_dir():
        raise DatabaseError(f"{place}: no database here; candlewax init makes one")
    return Database(_client(place, database), embedded=isinstance(place, Path))


def _client(place: Path | Server, database: str) -> Client:
    opened = _open_directory if isinstance(place, Path) else _open_server
    return opened(place, database)  # type: ignore[arg-type]  # each gets its own kind


def open_tables(place: Path | Server, database: str) -> Database:
    """Open a database and create it, its tables and views where they are absent.

    Raises DatabaseError.
    """
    try:
        with closing(_client(place, "default")) as client:
            client.command(
                "CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": database}
            )
            opened = Database(_client(place, database), embedded=isinstance(place, Path))
        ddl.apply(opened.client)
    except ClickHouseError as error:
        raise DatabaseError(f"{place}: {briefly(error)}") from error
    return opened


def briefly(error: ClickHouseError) -> str:
    """What an error says, without the engine's stack."""
    return str(error).partition(", Stack trace")[0]


def _open_directory(path: Path, database: str) -> Client:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be made a directory: {error.strerror}") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise DatabaseError(f"{path}: this directory cannot be written to")
    try:
        return clickhouse_connect.get_client(
            interface="chdb", path=str(path.resolve()), database=database
        )
    except ClickHouseError as error:
        why = _IN_USE if _is_locked(path / "status") else briefly(error)
        raise DatabaseError(f"{path}: {why}") from error


_IN_USE: Final = "in use by another process; an embedded database belongs to one at a time"


def _is_locked(status: Path) -> bool:
    """Whether a running engine holds the lock of its directory."""
    try:
        with status.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open_server(server: Server, database: str) -> Client:
    try:
        return clickhouse_connect.get_client(dsn=server.dsn, database=database)
    except ClickHouseError as error:
        raise DatabaseError(f"{server}: {briefly(error)}") from error
