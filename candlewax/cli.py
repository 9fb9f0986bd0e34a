"""The command `candlewax`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax import instruments, settings
from candlewax.connectors.broker import Broker, BrokerError, create_topics
from candlewax.connectors.clickhouse import DatabaseError, briefly, connect, open_tables
from candlewax.instruments import InstrumentsError
from candlewax.settings import SettingsError
from candlewax.simulator import command as simulate
from candlewax.verify import VerifyError, report, to_json, verify
from candlewax.web import serve, up

T = TypeVar("T")

EQUAL, DIFFERENT, NOT_COMPARED = 0, 1, 2
"""Exit statuses of `verify`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; ends the process with its status."""
    chosen = _parser().parse_args(arguments)
    sys.exit(chosen.run(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="candlewax",
        description="Market data whose candles can be trusted. Settings are environment "
        "variables named CANDLEWAX_*, also read from .env.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = commands.add_parser(
        "init", help="create the database, its tables and views, and the topics"
    )
    init.set_defaults(run=_init)
    sql = commands.add_parser("sql", help="run a query on the configured ClickHouse")
    sql.add_argument("query", help="one SQL query")
    sql.add_argument(
        "--format",
        default="PrettyCompact",
        help="any output format of ClickHouse: CSV, JSONEachRow, Parquet, ... (%(default)s)",
    )
    sql.set_defaults(run=_sql)
    check = commands.add_parser(
        "verify",
        help="compute all candles again in SQL and compare every field; "
        "exit 0: all equal, 1: differences, 2: could not compare",
    )
    check.add_argument("--json", action="store_true", help="print the result as JSON")
    check.set_defaults(run=_verify)
    simulate.add(commands)
    up.add(commands)
    serve.add(commands)
    return parser


def _init(_: argparse.Namespace) -> int:
    chosen = _try(1, settings.load)
    known = _try(1, lambda: instruments.load(chosen.instruments))
    _try(1, lambda: open_tables(chosen.clickhouse, chosen.database))
    print(f"{chosen.clickhouse}: database {chosen.database} is ready")
    if brokers := chosen.brokers:
        exchanges = chosen.exchanges or known.exchanges
        _try(1, lambda: create_topics(Broker(brokers), brokers, exchanges))
        print(f"{brokers}: the topics are ready")
    return 0


def _sql(arguments: argparse.Namespace) -> int:
    chosen = _try(1, settings.load)
    database = _try(1, lambda: connect(chosen.clickhouse, chosen.database))
    answer = _try(1, lambda: database.client.raw_query(arguments.query, fmt=arguments.format))
    sys.stdout.buffer.write(answer)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    chosen = _try(NOT_COMPARED, settings.load)
    database = _try(NOT_COMPARED, lambda: connect(chosen.clickhouse, chosen.database))
    found = _try(NOT_COMPARED, lambda: verify(database.client))
    print(to_json(found) if arguments.json else report(found))
    return EQUAL if found.equal else DIFFERENT


def _try(status: int, action: Callable[[], T]) -> T:
    """What the action gives; ends the process with a message and status if it cannot."""
    try:
        return action()
    except ClickHouseError as error:
        message = briefly(error)
    except (SettingsError, InstrumentsError, DatabaseError, BrokerError, VerifyError) as error:
        message = str(error)
    print(f"candlewax: {message}", file=sys.stderr)
    sys.exit(status)
