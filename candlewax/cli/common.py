"""Times as people write them, and ends with a reason, for all commands."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.cli.backfill import BackfillRequestError
from candlewax.clickhouse.client import Database, DatabaseError, connect, short_message
from candlewax.core.instruments import InstrumentsError
from candlewax.kafka.client import BrokerError
from candlewax.runtime import exit_reasons, settings
from candlewax.runtime.last_filled import lacks_password
from candlewax.runtime.settings import SettingsError
from candlewax.runtime.times import parse_time_or_utc
from candlewax.verification.klines import KlinesError
from candlewax.verification.rebuild import RebuildError
from candlewax.verification.verify import VerifyError

T = TypeVar("T")


class CommandError(RuntimeError):
    """A command cannot do what it was asked for; the text says why."""


_TOLD: Final = (
    SettingsError,
    InstrumentsError,
    DatabaseError,
    BrokerError,
    CommandError,
    KlinesError,
    VerifyError,
    RebuildError,
    BackfillRequestError,
)


def exit_on_error(status: int, action: Callable[[], T]) -> T:
    """Return the result of an action. If it fails, end the process with a message and status."""
    try:
        return action()
    except ClickHouseError as error:
        message = exit_reasons.explain_no_answer(error) or short_message(error)
        if "UNKNOWN_TABLE" in message:
            message += "; candlewax init makes what is not there"
    except _TOLD as error:
        message = str(error)
    print(f"candlewax: {message}", file=sys.stderr)
    sys.exit(status)


def database(status: int) -> Database:
    """The configured database, which must be there; else the process ends."""
    chosen = exit_on_error(status, settings.load)
    say_which(chosen)
    return exit_on_error(status, lambda: connect(chosen.clickhouse, chosen.database))


def say_which(chosen: settings.Settings) -> None:
    """Say which database is read, where no setting does."""
    if not chosen.is_placed:
        forgot = "; its password is not remembered, set CANDLEWAX_CLICKHOUSE"
        more = forgot if lacks_password(chosen.clickhouse) else ""
        print(f"Reading {chosen.clickhouse}, database {chosen.database}{more}", file=sys.stderr)


def parse_cli_time(text: str) -> datetime:
    """A date, or a date and a time, in UTC unless it says otherwise; for argparse."""
    try:
        return parse_time_or_utc(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
