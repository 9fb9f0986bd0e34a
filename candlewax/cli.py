"""The command `candlewax`."""

import argparse
import sys
from collections.abc import Sequence

from bytewax.dataflow import Dataflow

from candlewax import backfill, instruments, settings, watching
from candlewax.commands import gaps, rebuild, verify
from candlewax.commands._common import attempt
from candlewax.connectors.broker import Broker, create_topics
from candlewax.connectors.clickhouse import connect, open_tables
from candlewax.parts import Parts
from candlewax.simulator import command as simulate
from candlewax.telling import tell
from candlewax.web import serve, up
from dataflows import ingest, ohlcv


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
    verify.add(commands)
    gaps.add(commands)
    backfill.add(commands, _backfill)
    rebuild.add(commands)
    watch = commands.add_parser(
        "watch",
        help="look at the candles that have just closed, again and again, until stopped; "
        "CANDLEWAX_METRICS_PORT tells of what differs",
    )
    watch.set_defaults(run=_watch)
    simulate.add(commands)
    up.add(commands, ohlcv.build)
    serve.add(commands)
    return parser


def _init(_: argparse.Namespace) -> int:
    chosen = attempt(1, settings.load)
    known = attempt(1, lambda: instruments.load(chosen.instruments))
    attempt(1, lambda: open_tables(chosen.clickhouse, chosen.database))
    print(f"{chosen.clickhouse}: database {chosen.database} is ready")
    if brokers := chosen.brokers:
        exchanges = chosen.exchanges or known.exchanges
        attempt(1, lambda: create_topics(Broker(brokers), brokers, exchanges))
        print(f"{brokers}: the topics are ready")
    return 0


def _sql(arguments: argparse.Namespace) -> int:
    chosen = attempt(1, settings.load)
    tables = attempt(1, lambda: connect(chosen.clickhouse, chosen.database))
    answer = attempt(1, lambda: tables.client.raw_query(arguments.query, fmt=arguments.format))
    sys.stdout.buffer.write(answer)
    return 0


def _backfill(arguments: argparse.Namespace) -> int:
    return attempt(1, lambda: backfill.run(arguments, _pipeline))


def _pipeline(made: Parts) -> Dataflow:
    return ohlcv.build(made) if made.topics is None else ingest.build(made)


def _watch(_: argparse.Namespace) -> int:
    chosen = attempt(1, settings.load)
    tell()
    attempt(1, lambda: watching.serve(chosen))
    return 0
