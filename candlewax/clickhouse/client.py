"""The database: embedded chDB in a directory, or a ClickHouse server."""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, Final, TypeVar

import clickhouse_connect
import polars as pl
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from candlewax.clickhouse import ddl
from candlewax.clickhouse.disk_guard import AGAIN, LITTLE, Room, free, mebibytes
from candlewax.clickhouse.embedded import Inserts, write
from candlewax.clickhouse.engine import choose_options, in_utc
from candlewax.clickhouse.transient_errors import is_transient
from candlewax.runtime import exit_reasons
from candlewax.runtime.setting_parsers import Server

INSERT: Final = {
    # Refused before anything is written.
    "min_free_disk_bytes_to_perform_insert": LITTLE,
    # Set, not assumed: their defaults differ between versions.
    "async_insert": 0,
    "insert_deduplicate": 1,
    # A block has few columns; more threads only take turns.
    "max_threads": 1,
    "max_insert_threads": 1,
    # Sinks hand each row over once, so there is nothing for it to merge.
    "optimize_on_insert": 0,
    # No row holds a null, and none lacks a column that is named.
    "input_format_null_as_default": 0,
    "input_format_defaults_for_omitted_fields": 0,
}

RETRIES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, *[5.0] * 119)
"""Seconds to wait before each next try if a server is out of reach: ten minutes."""

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class Unavailable(RuntimeError):  # noqa: N818 - it may be there again soon
    """A database cannot be asked now; the text says why."""


class Busy(Unavailable):
    """A database that is there has too much to do, or is short of something."""


QueryError = ClickHouseError
"""Raised by a client whose query fails."""


class DatabaseError(RuntimeError):
    """The database cannot be opened; the text says which and why."""


class Database:
    """One database of one ClickHouse, safe to use from several threads."""

    def __init__(self, client: Client, folder: Path | None = None) -> None:
        """`folder` is that of an embedded database."""
        self.client = client
        self._inserts = Inserts(folder, client.database or "", client.raw_query) if folder else None
        # An embedded engine runs one query of a connection at a time.
        self._lock: AbstractContextManager[Any] = threading.RLock() if folder else nullcontext()
        self._room = Room(folder, self.command) if folder else None
        if self._room:
            self._room.begin()

    @property
    def embedded(self) -> bool:
        """Whether its engine is this process."""
        return self._inserts is not None

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> pl.DataFrame:
        """The rows of a query. Parameters stand in it as `{name:Type}`."""
        return self.patiently(lambda: self._query(sql, parameters or {}), wait)

    def query_once(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Return the rows of a query, as `query`, without waiting for a server.

        Raises Unavailable if the server is away, Busy if it says itself that it cannot now.
        """
        try:
            return self._query(sql, parameters or {})
        except ClickHouseError as error:
            if not is_transient(error, embedded=self.embedded):
                raise
            if isinstance(error, Error) and error.code is not None:
                raise Busy(f"the database cannot answer now (error {error.code})") from error
            raise Unavailable("ClickHouse is out of reach") from error

    def _query(self, sql: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
        with self._lock:
            return pl.DataFrame(self.client.query_arrow(sql, parameters=dict(parameters)))

    def patiently(self, action: Callable[[], T], wait: Callable[[float], object] = time.sleep) -> T:
        """What the action gives, tried again while a server is away or too busy."""
        for pause in RETRIES:
            try:
                return action()
            except ClickHouseError as error:
                if not is_transient(error, embedded=self.embedded):
                    raise
                if pause == RETRIES[0]:
                    _log.warning("%s; trying again for ten minutes", briefly(error))
            wait(pause)
        return action()

    def command(self, sql: str) -> None:
        """Run a statement that gives no rows."""
        with self._lock:
            self.client.command(sql)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows as one block. The same token again inserts nothing.

        Raises DatabaseError if the disk of an embedded database is full.
        """
        settings = {**INSERT, "insert_deduplication_token": token}
        with self._lock:
            if self._inserts and self._room:
                _check(self._room)
                self._inserts.insert(table, rows, settings)
                _check(self._room)
                return
            stream = pa.BufferOutputStream()
            write(stream, rows)
            self.client.raw_insert(
                table,
                column_names=rows.schema.names,
                # Sent in one go, without a copy.
                insert_block=memoryview(stream.getvalue()),  # type: ignore[arg-type]
                fmt="ArrowStream",
                settings=settings,
            )

    def ping(self) -> bool:
        """Return whether a server answers, busy or not."""
        return self.client.ping()

    def close(self) -> None:
        """Let go of the database, so that another process may open it."""
        if self._room:
            self._room.close()
        with self._lock:
            if self._inserts:
                self._inserts.close()
            self.client.close()


def _check(room: Room) -> None:
    """Raises DatabaseError if what was done until now may have found no room."""
    if not room.left():
        raise DatabaseError(f"{room.folder}: the disk is full; {AGAIN}")


HASTY: Final = {"connect_timeout": 1, "send_receive_timeout": 10}
"""Seconds that one who waits for an answer gives a server."""


def connect(place: Path | Server, database: str, *, hasty: bool = False) -> Database:
    """Open a database that is there; `hasty` where somebody waits for the answers of a server.

    Raises DatabaseError.
    """
    if hasty and isinstance(place, Server):
        return Database(_open_server(place, database, **HASTY))
    if isinstance(place, Path) and not place.is_dir():
        raise DatabaseError(f"{place}: no database here; candlewax init makes one")
    return _database(place, database)


def _database(place: Path | Server, name: str) -> Database:
    return Database(_client(place, name), place if isinstance(place, Path) else None)


def _client(place: Path | Server, database: str) -> Client:
    opened = _open_directory if isinstance(place, Path) else _open_server
    return opened(place, database)  # type: ignore[arg-type]  # each gets its own kind


def open_tables(place: Path | Server, database: str) -> Database:
    """Open a database and create it, its tables and views where they are absent.

    Raises DatabaseError, also where an embedded database would find little room.
    """
    if isinstance(place, Path) and (space := free(place)) < LITTLE:
        there = f"{mebibytes(space)} of room on its disk; {mebibytes(LITTLE)} are needed"
        raise DatabaseError(f"{place}: {there}")
    try:
        with closing(_client(place, "default")) as client:
            client.command(
                "CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": database}
            )
            opened = _database(place, database)
        ddl.apply(opened.client)
    except ClickHouseError as error:
        raise DatabaseError(f"{place}: {_reason(error)}") from error
    return opened


def briefly(error: ClickHouseError) -> str:
    """What an error says, without the engine's stack."""
    return str(error).partition(", Stack trace")[0]


def _reason(error: ClickHouseError) -> str:
    """Return the reason why a database cannot be opened, without the client's innards."""
    if "AUTHENTICATION_FAILED" in str(error):
        return "Authentication failed: ClickHouse refuses the user or the password"
    return exit_reasons.explain(error) or briefly(error)


def _open_directory(path: Path, database: str) -> Client:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be made a directory: {error.strerror}") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise DatabaseError(f"{path}: this directory cannot be written to")
    try:
        exit_reasons.require_files(exit_reasons.EMBEDDED_FILES)
        exit_reasons.require_space(exit_reasons.EMBEDDED_SPACE)
        with exit_reasons.held_back(), in_utc():
            return clickhouse_connect.get_client(
                interface="chdb",
                path=str(path.resolve()),
                database=database,
                chdb_options=choose_options(),
            )
    except (ClickHouseError, ImportError, RuntimeError, OSError) as error:
        raise DatabaseError(f"{path}: {_cause(path, error)}") from error


def _cause(path: Path, error: Exception) -> str:
    """Return the reason why an embedded database cannot be opened."""
    if _is_locked(path / "status"):
        return IN_USE
    if isinstance(error, ClickHouseError):
        return _reason(error)
    return exit_reasons.explain(error) or str(error)


IN_USE: Final = "in use by another process; an embedded database belongs to one at a time"


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


def _open_server(server: Server, database: str, **timeouts: Any) -> Client:  # noqa: ANN401
    # What it warns of, the errors it raises say too.
    for name in ("clickhouse_connect.driver._backend.http_sync", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return clickhouse_connect.get_client(
            dsn=server.dsn,
            # The client itself goes by the port, and would send a password in the clear.
            interface=server.scheme,
            database=database,
            # A session takes one query at a time, also while a lost one still runs.
            autogenerate_session_id=False,
            **timeouts,
        )
    except ClickHouseError as error:
        raise DatabaseError(f"{server}: {_reason(error)}") from error
