"""Database connections: embedded chDB in a directory, or a ClickHouse server."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from candlewax.clickhouse import ddl, disk_guard
from candlewax.clickhouse.disk_guard import LOW_SPACE_BYTES, DiskGuard, format_mebibytes
from candlewax.clickhouse.embedded import EmbeddedInserter, write_arrow_stream
from candlewax.clickhouse.open_client import OpenError, explain, open_client
from candlewax.clickhouse.retention import apply_retention
from candlewax.clickhouse.transient_errors import is_transient
from candlewax.runtime.keep_settings import Retention
from candlewax.runtime.setting_parsers import Server

INSERT: Final = {
    # Refuse an insert before any of it is written.
    "min_free_disk_bytes_to_perform_insert": LOW_SPACE_BYTES,
    # The defaults of these two differ between ClickHouse versions.
    "async_insert": 0,
    "insert_deduplicate": 1,
    # A block has few columns, so more threads would only wait for each other.
    "max_threads": 1,
    "max_insert_threads": 1,
    # The writer sends each row once, so the insert has nothing to merge.
    "optimize_on_insert": 0,
    # Every row has a value, never null, for every named column.
    "input_format_null_as_default": 0,
    "input_format_defaults_for_omitted_fields": 0,
}

RETRIES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, *[5.0] * 119)
"""Seconds to wait before each retry while a server is unavailable: ten minutes in all."""

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class UnavailableError(RuntimeError):
    """A database that does not answer now; the message says why."""


class BusyError(UnavailableError):
    """A database that answers, but is overloaded or short of a resource."""


QueryError = ClickHouseError
"""Base class of the errors that a failed query raises."""


class DatabaseError(RuntimeError):
    """A database that cannot be opened or written to; the message names it and says why."""


class Database:
    """A database of one ClickHouse. Any thread may use it."""

    def __init__(self, client: Client, folder: Path | None = None) -> None:
        """`folder` is the directory of an embedded database; None for a server."""
        self.client = client
        self.folder = folder
        self._inserter = (
            EmbeddedInserter(folder, client.database or "", client.raw_query) if folder else None
        )
        # An embedded engine runs one query at a time per connection.
        self._lock: AbstractContextManager[Any] = threading.RLock() if folder else nullcontext()
        self._disk_guard = DiskGuard(folder, self.command) if folder else None
        if self._disk_guard:
            self._disk_guard.start()

    @property
    def is_embedded(self) -> bool:
        """True if the engine runs inside this process."""
        return self._inserter is not None

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> pl.DataFrame:
        """Return the rows of a query with parameters `{name:Type}`; `with_retries` applies."""
        return self.with_retries(lambda: self._query(sql, parameters or {}), wait)

    def query_once(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Return the rows of a query as `query` does, without retries.

        Raises UnavailableError if no server answers, BusyError if the server refuses now.
        """
        try:
            return self._query(sql, parameters or {})
        except ClickHouseError as error:
            if not is_transient(error, embedded=self.is_embedded):
                raise
            if isinstance(error, Error) and error.code is not None:
                raise BusyError(f"the database cannot answer now (error {error.code})") from error
            raise UnavailableError("ClickHouse is out of reach") from error

    def _query(self, sql: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
        with self._lock:
            try:
                return pl.DataFrame(self.client.query_arrow(sql, parameters=dict(parameters)))
            except ClickHouseError:
                self._discard_output()
                raise

    def _discard_output(self) -> None:
        """Discard what a failed query of an embedded engine has already written.

        The engine puts it before the answer of the next query, which then cannot be read.
        """
        if self.is_embedded:
            with suppress(ClickHouseError, ValueError):
                self.client.raw_query("SELECT 1")

    def with_retries(
        self, action: Callable[[], T], wait: Callable[[float], object] = time.sleep
    ) -> T:
        """Return the result of an action; retry while a server is unavailable or too busy."""
        for wait_s in RETRIES:
            try:
                return action()
            except ClickHouseError as error:
                if not is_transient(error, embedded=self.is_embedded):
                    raise
                if wait_s == RETRIES[0]:
                    _log.warning("%s; trying again for ten minutes", short_message(error))
            wait(wait_s)
        return action()

    def command(self, sql: str) -> None:
        """Run a statement that returns no rows."""
        with self._lock:
            self.client.command(sql)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows as one block. A repeated token inserts nothing.

        Raises DatabaseError if the disk of an embedded database is full.
        """
        settings = {**INSERT, "insert_deduplication_token": token}
        with self._lock:
            if self._inserter and self._disk_guard:
                _require_space(self._disk_guard)
                self._inserter.insert(table, rows, settings)
                _require_space(self._disk_guard)
                return
            stream = pa.BufferOutputStream()
            write_arrow_stream(stream, rows)
            self.client.raw_insert(
                table,
                column_names=rows.schema.names,
                # A memoryview is sent in one piece, without a copy.
                insert_block=memoryview(stream.getvalue()),  # type: ignore[arg-type]
                fmt="ArrowStream",
                settings=settings,
            )

    def ping(self) -> bool:
        """Return True if a server answers, busy or not."""
        return self.client.ping()

    def close(self) -> None:
        """Close the database, so that another process can open its directory."""
        if self._disk_guard:
            self._disk_guard.close()
        with self._lock:
            if self._inserter:
                self._inserter.close()
            self.client.close()


def _require_space(guard: DiskGuard) -> None:
    """Raise DatabaseError if the disk is or was full, so that recent inserts may be lost."""
    if not guard.has_space():
        raise DatabaseError(f"{guard.folder}: the disk is full; {disk_guard.FULL_DISK_HINT}")


SHORT_TIMEOUTS: Final = {"connect_timeout": 1, "send_receive_timeout": 10}
"""Timeouts in seconds of a connection whose answers a person or a request waits for."""


def connect(location: Path | Server, database: str, *, fail_fast: bool = False) -> Database:
    """Open an existing database; with `fail_fast` a server has SHORT_TIMEOUTS.

    Raises DatabaseError, also if a newer program has changed the tables.
    """
    if fail_fast and isinstance(location, Server):
        return Database(_client(location, database, **SHORT_TIMEOUTS))
    if isinstance(location, Path) and not has_database(location):
        raise DatabaseError(
            f"{location}: no database here; a run that stores makes it, such as candlewax live or "
            "candlewax up --keep, and CANDLEWAX_CLICKHOUSE names another"
        )
    opened = _database(location, database)
    try:
        ddl.require_known_version(opened.client)
    except (ddl.SchemaVersionError, ClickHouseError) as error:
        opened.close()
        raise _unusable(location, database, error) from error
    return opened


def has_database(folder: Path) -> bool:
    """Return True if an engine has stored in a directory before.

    To open another one would leave the engine's files there.
    """
    return (folder / "metadata").is_dir()


def open_default(location: Path | Server) -> Database:
    """Open the default database, which is always there; a directory is created if it is absent.

    Raises DatabaseError.
    """
    return _database(location, "default")


def _unusable(location: Path | Server, database: str, error: Exception) -> DatabaseError:
    """Return the error of a database that cannot be used, which says why."""
    if isinstance(error, ClickHouseError):
        return DatabaseError(f"{location}: {explain(error)}")
    return DatabaseError(f"{location}, database {database}: {error}")


def _database(location: Path | Server, name: str) -> Database:
    return Database(_client(location, name), location if isinstance(location, Path) else None)


def _client(location: Path | Server, database: str, **timeouts: int) -> Client:
    try:
        return open_client(location, database, **timeouts)
    except OpenError as error:
        raise DatabaseError(str(error)) from error


def open_tables(
    location: Path | Server, database: str, retention: Retention | None = None
) -> Database:
    """Open a database. Create it, its tables and its views if they are absent.

    With a `retention` the tables keep rows as it says; otherwise as they did before.

    Raises DatabaseError, also if less than LOW_SPACE_BYTES are free for an embedded database.
    """
    if isinstance(location, Path) and (free := disk_guard.free_bytes(location)) < LOW_SPACE_BYTES:
        raise DatabaseError(
            f"{location}: {format_mebibytes(free)} of free disk space; "
            f"{format_mebibytes(LOW_SPACE_BYTES)} are needed"
        )
    try:
        with closing(_client(location, "default")) as client:
            client.command(
                "CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": database}
            )
            tables = _database(location, database)
    except ClickHouseError as error:
        raise _unusable(location, database, error) from error
    try:
        ddl.apply(tables.client)
        if retention:
            apply_retention(tables, retention)
    except (ddl.SchemaVersionError, ClickHouseError) as error:
        tables.close()
        raise _unusable(location, database, error) from error
    return tables


def short_message(error: ClickHouseError) -> str:
    """Return the message of an error without the engine's stack trace."""
    return str(error).partition(", Stack trace")[0]
