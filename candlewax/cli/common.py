"""Shared parts of the commands: database, times, and exits with an error message."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.clickhouse.backup import BackupError
from candlewax.clickhouse.client import Database, DatabaseError, connect, short_message
from candlewax.clickhouse.directory_lock import IN_USE
from candlewax.clickhouse.served_address import find_address
from candlewax.core.instruments import InstrumentsError
from candlewax.kafka.client import BrokerError
from candlewax.runtime import exit_reasons
from candlewax.runtime.last_filled import lacks_password
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.times import parse_time_or_utc
from candlewax.verification.klines import KlinesError
from candlewax.verification.rebuild import RebuildError
from candlewax.verification.verify import VerifyError

T = TypeVar("T")

_DISK: Final = "SELECT path FROM system.disks WHERE name = 'default'"


class CommandError(RuntimeError):
    """Error for a command that cannot do its work; the text says why."""


_EXPECTED_ERRORS: Final = (
    BackupError,
    SettingsError,
    InstrumentsError,
    DatabaseError,
    BrokerError,
    CommandError,
    KlinesError,
    VerifyError,
    RebuildError,
)


def exit_on_error(status: int, action: Callable[[], T]) -> T:
    """Return the result of an action. If it fails, end the process with a message and status."""
    try:
        return action()
    except ClickHouseError as error:
        message = exit_reasons.explain_no_answer(error) or short_message(error)
        if "UNKNOWN_TABLE" in message:
            message += "; candlewax init creates missing tables"
    except _EXPECTED_ERRORS as error:
        message = str(error)
    print(f"candlewax: {message}", file=sys.stderr)
    sys.exit(status)


@contextmanager
def without_request_warnings() -> Iterator[None]:
    """Leave out what a REST client warns of: its error says it, and nothing is requested again."""
    logger = logging.getLogger("candlewax.feeds.rest.client")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def open_database(status: int) -> Database:
    """Return the configured database. If it is absent, exit with a message and the status."""
    settings = exit_on_error(status, load_settings)
    print_database(settings)
    return exit_on_error(status, lambda: connect(settings.clickhouse, settings.database))


def open_for_reading(status: int) -> Database:
    """Return the configured database as `open_database` does, for queries that only read.

    If another process has its directory open and answers queries, they go there.
    """
    settings = exit_on_error(status, load_settings)
    place = settings.clickhouse
    served = find_address(place) if isinstance(place, Path) else None
    if not isinstance(place, Path) or not served:
        return open_database(status)
    print(f"Reading {served.url}: {served.command} has {place} open", file=sys.stderr)
    return exit_on_error(status, lambda: connect_served(place, served.url, settings.database))


def connect_served(folder: Path, url: str, database: str) -> Database:
    """Connect to the process that has a directory open. Raises DatabaseError if it is another."""
    tables = connect(Server(url), database, fail_fast=True)
    found = tables.query_once(_DISK)["path"]
    if not found.is_empty() and Path(found[0]) == folder.resolve():
        return tables
    tables.close()
    raise DatabaseError(f"{folder}: {IN_USE}; at {url}, which it left, is another database")


def print_database(settings: Settings) -> None:
    """Print which database is read, if no setting names one."""
    if not settings.is_placed:
        hint = "; its password is not remembered, set CANDLEWAX_CLICKHOUSE"
        suffix = hint if lacks_password(settings.clickhouse) else ""
        print(
            f"Reading {settings.clickhouse}, database {settings.database}{suffix}", file=sys.stderr
        )


def parse_cli_time(text: str) -> datetime:
    """Parse a date, or a date and a time, in UTC by default; for argparse."""
    try:
        return parse_time_or_utc(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
