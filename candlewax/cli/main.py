"""The command `candlewax`."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from candlewax import __version__
from candlewax.runtime import exit_reasons

if TYPE_CHECKING:
    from bytewax.dataflow import Dataflow

    from candlewax.pipeline.builder import Components

# Each command imports what it needs by itself: all of it together takes seconds.
# ruff: noqa: PLC0415


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; ends the process with its status."""
    given = sys.argv[1:] if arguments is None else arguments
    name = given[0] if given else ""
    if arguments is None:
        exit_reasons.begin()
    try:
        chosen = parser(name).parse_args(given)
        status = chosen.run(chosen)
        if sys.stdout:
            sys.stdout.flush()
    except KeyboardInterrupt:
        exit_reasons.print_error("interrupted")
        status = exit_reasons.INTERRUPTED
    except BrokenPipeError as error:
        status = _output_ended(error, exit_reasons.OUTPUT_CLOSED)
    except OSError as error:
        if error.filename is not None or error.filename2 is not None:
            raise
        status = _output_ended(error, _NOT_DONE.get(name, 1))
    sys.exit(status)


_NOT_DONE: Final = {"verify": 2, "gaps": 2, "repair": 2, "rebuild": 2}
"""Exit status of commands that could not do their work, where it is not 1."""


def _output_ended(error: OSError, status: int) -> int:
    exit_reasons.print_error(exit_reasons.explain_output_error(error))
    # Else the interpreter tries again at its end, and says that it could not.
    with suppress(OSError, AttributeError):
        sys.stdout.close()
    sys.stdout = None
    return status


def parser(named: str) -> argparse.ArgumentParser:
    """Return the parser for the arguments of the command that is named, or of all of them."""
    made = argparse.ArgumentParser(
        prog="candlewax",
        description="Market data whose candles can be trusted. Settings are environment "
        "variables named CANDLEWAX_*, also read from .env.",
    )
    made.add_argument("--version", action="version", version=f"candlewax {__version__}")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for name, add in COMMANDS.items():
        if name == named or named not in {*COMMANDS, "--version"}:
            add(commands)
    return made


def _add_init(commands: Any) -> None:  # noqa: ANN401 - argparse keeps its type private
    init = commands.add_parser(
        "init", help="create the database, its tables and views, and the topics"
    )
    init.set_defaults(run=_init)


def _add_check(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import check

    check.add(commands)


def _add_sql(commands: Any) -> None:  # noqa: ANN401
    sql = commands.add_parser("sql", help="run a query on the configured ClickHouse")
    sql.add_argument("query", help="one SQL query")
    sql.add_argument(
        "--format",
        help="any output format of ClickHouse: CSV, JSONEachRow, Parquet, ... (PrettyCompact, "
        "unless the query ends with a FORMAT of its own)",
    )
    sql.set_defaults(run=_sql)


def _add_verify(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import verify

    verify.add(commands)


def _add_gaps(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import gaps

    gaps.add(commands)


def _add_backfill(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import backfill

    backfill.add(commands, _backfill)


def _add_repair(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import repair

    repair.add(commands, _mending)


def _add_rebuild(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import rebuild

    rebuild.add(commands)


def _add_watch(commands: Any) -> None:  # noqa: ANN401
    watch = commands.add_parser(
        "watch",
        help="look at the candles that have just closed, again and again, until stopped; "
        "CANDLEWAX_METRICS_PORT tells of what differs",
    )
    watch.set_defaults(run=_watch)


def _add_simulate(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import simulate as command

    command.add(commands)


def _add_up(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import up
    from dataflows import ohlcv

    up.add(commands, ohlcv.build)


def _add_serve(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import serve

    serve.add(commands)


COMMANDS: Final[dict[str, Callable[[Any], None]]] = {
    "check": _add_check,
    "init": _add_init,
    "sql": _add_sql,
    "verify": _add_verify,
    "gaps": _add_gaps,
    "backfill": _add_backfill,
    "repair": _add_repair,
    "rebuild": _add_rebuild,
    "watch": _add_watch,
    "simulate": _add_simulate,
    "up": _add_up,
    "serve": _add_serve,
}


def _init(_: argparse.Namespace) -> int:
    from candlewax.cli.common import exit_on_error
    from candlewax.clickhouse.client import open_tables
    from candlewax.core import instruments
    from candlewax.core.kind_marks import REAL
    from candlewax.kafka.client import KafkaClient, create_topics
    from candlewax.pipeline.data_kind import settings_for_kind
    from candlewax.runtime import settings

    # What is made beforehand is for real markets, unless something else is asked for.
    chosen = settings_for_kind(exit_on_error(1, settings.load), REAL)
    exit_on_error(1, lambda: open_tables(chosen.clickhouse, chosen.database))
    print(f"{chosen.clickhouse}: database {chosen.database} is ready")
    if brokers := chosen.brokers:
        known = exit_on_error(1, lambda: instruments.load(chosen.instruments))
        exchanges = chosen.exchanges or known.exchanges
        exit_on_error(1, lambda: create_topics(KafkaClient(brokers), brokers, exchanges))
        print(f"{brokers}: the topics are ready")
    return 0


def _sql(arguments: argparse.Namespace) -> int:
    from candlewax.cli.common import exit_on_error, say_which
    from candlewax.clickhouse.client import connect
    from candlewax.runtime import settings

    query, names_one = _without_end(arguments.query)
    if names_one and arguments.format:
        exit_reasons.print_error("the query ends with a FORMAT of its own; leave out --format")
        return 1
    wanted = None if names_one else arguments.format or "PrettyCompact"
    chosen = exit_on_error(1, settings.load)
    say_which(chosen)
    tables = exit_on_error(1, lambda: connect(chosen.clickhouse, chosen.database))
    answer = exit_on_error(1, lambda: tables.client.raw_query(query, fmt=wanted))
    if sys.stdout:
        sys.stdout.buffer.write(answer)
    return 0


_FORMAT: Final = re.compile(
    r"(?<![\w.])FORMAT\s+[A-Za-z]\w*(\s+SETTINGS\s[^'\"`]*)?$", re.IGNORECASE
)


def _without_end(query: str) -> tuple[str, bool]:
    """Return a query without the semicolon at its end, and whether it names a format."""
    text = query.strip().rstrip(";").rstrip()
    found = _FORMAT.search(text)
    commented = found and "--" in text[text.rfind("\n") + 1 : found.start()]
    return text, bool(found) and not commented


def _backfill(arguments: argparse.Namespace) -> int:
    from candlewax.cli import backfill
    from candlewax.cli.common import exit_on_error

    return exit_on_error(1, lambda: backfill.run(arguments, _pipeline))


def _pipeline(made: "Components") -> "Dataflow":
    from dataflows import ingest, ohlcv

    return ohlcv.build(made) if made.topics is None else ingest.build(made)


def _mending(made: "Components") -> "Dataflow":
    from dataflows import repair

    return repair.build(made)


def _watch(_: argparse.Namespace) -> int:
    from candlewax.cli.common import exit_on_error
    from candlewax.runtime import settings
    from candlewax.runtime.errors import configure_logging
    from candlewax.verification import monitor

    configure_logging()
    chosen = exit_on_error(1, settings.load)
    exit_on_error(1, lambda: monitor.serve(chosen))
    return 0
