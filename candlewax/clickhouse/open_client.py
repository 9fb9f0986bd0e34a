"""Clients of the embedded engine and of ClickHouse servers, and why they cannot be opened."""

import logging
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.clickhouse.directory_lock import IN_USE, is_locked
from candlewax.clickhouse.engine import choose_options, in_utc
from candlewax.clickhouse.served_address import find_address
from candlewax.runtime import exit_reasons
from candlewax.runtime.setting_parsers import Server

_NO_DATABASE: Final = re.compile(r"Database (\S+) does not exist")


class OpenError(RuntimeError):
    """A directory or server that cannot be opened; the message names it and says why."""


def open_client(location: Path | Server, database: str, **timeouts: Any) -> Client:  # noqa: ANN401
    """Open a client of a database in a directory or of a server. Raises OpenError.

    `timeouts` are those of clickhouse-connect, for a server.
    """
    if isinstance(location, Path):
        return _open_directory(location, database)
    return _open_server(location, database, **timeouts)


def explain(error: ClickHouseError) -> str:
    """Return the reason why a database cannot be opened, without the client's internals."""
    if "AUTHENTICATION_FAILED" in str(error):
        return "Authentication failed: ClickHouse refuses the user or the password"
    if "UNKNOWN_DATABASE" in str(error) and (name := _NO_DATABASE.search(str(error))):
        return f"database {name[1]} does not exist; CANDLEWAX_DATABASE takes another"
    return exit_reasons.explain(error) or str(error).partition(", Stack trace")[0]


def _open_directory(path: Path, database: str) -> Client:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OpenError(
            f"{path}: cannot be created: {error.strerror}; CANDLEWAX_CLICKHOUSE takes another "
            "directory"
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise OpenError(f"{path}: this directory is not writable")
    try:
        exit_reasons.require_files(exit_reasons.EMBEDDED_FILES)
        exit_reasons.require_space(exit_reasons.EMBEDDED_SPACE)
        with exit_reasons.hold_stderr(), in_utc():
            return clickhouse_connect.get_client(
                interface="chdb",
                path=str(path.resolve()),
                database=database,
                chdb_options=choose_options(),
            )
    except (ClickHouseError, ImportError, RuntimeError, OSError) as error:
        raise OpenError(f"{path}: {_cause(path, error)}") from error


def _cause(path: Path, error: Exception) -> str:
    """Return the reason why an embedded database cannot be opened."""
    if is_locked(path):
        served = find_address(path)
        return f"{IN_USE}; {served.command} answers queries at {served.url}" if served else IN_USE
    if isinstance(error, ClickHouseError):
        return explain(error)
    return exit_reasons.explain(error) or str(error)


def _open_server(server: Server, database: str, **timeouts: Any) -> Client:  # noqa: ANN401
    # Both log as warnings what the raised errors say again.
    for name in ("clickhouse_connect.driver._backend.http_sync", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    parts = urlsplit(server.dsn)
    path = parts.path.rstrip("/")
    try:
        return clickhouse_connect.get_client(
            # The client takes a path in a DSN for a database.
            dsn=parts._replace(path="").geturl(),
            proxy_path=f"{path}/" if path else "",
            # By default the client derives TLS from the port, and may send a password in clear.
            interface=server.scheme,
            database=database,
            # A session runs one query at a time: an abandoned one would block the next.
            autogenerate_session_id=False,
            **timeouts,
        )
    except ClickHouseError as error:
        raise OpenError(f"{server}: {explain(error)}") from error
