"""Command `candlewax` with all its subcommands."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from candlewax import __version__
from candlewax.runtime import exit_reasons
from candlewax.runtime.command_words import parse_words

if TYPE_CHECKING:
    from bytewax.dataflow import Dataflow

    from candlewax.pipeline.builder import Components

# Each command imports its own modules, as importing all of them takes seconds.
# ruff: noqa: PLC0415


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its status."""
    words = sys.argv[1:] if arguments is None else arguments
    name = words[0] if words else ""
    if arguments is None:
        exit_reasons.install_hooks()
    try:
        options = parse_words(build_parser(name), name, words)
        status = options.run(options)
        if sys.stdout:
            sys.stdout.flush()
    except KeyboardInterrupt:
        exit_reasons.print_error("interrupted")
        status = exit_reasons.INTERRUPTED
    except BrokenPipeError as error:
        status = _close_output(error, exit_reasons.OUTPUT_CLOSED)
    except OSError as error:
        if error.filename is not None or error.filename2 is not None:
            raise
        status = _close_output(error, _FAILURE_STATUS.get(name, 1))
    sys.exit(status)


_FAILURE_STATUS: Final = {
    "verify": 2,
    "gaps": 2,
    "repair": 2,
    "rebuild": 2,
    "reconcile": 2,
    "status": 2,
}
"""Exit statuses of commands that could not do their work, if other than 1."""


def _close_output(error: OSError, status: int) -> int:
    exit_reasons.print_error(exit_reasons.explain_output_error(error))
    # Otherwise the interpreter flushes it again at exit and prints a second error.
    with suppress(OSError, AttributeError):
        sys.stdout.close()
    sys.stdout = None
    return status


def build_parser(command_name: str) -> argparse.ArgumentParser:
    """Return the parser of the named command, or of all commands."""
    argument_parser = argparse.ArgumentParser(
        prog="candlewax",
        description="Market data whose candles can be trusted. Settings are environment "
        "variables named CANDLEWAX_*, also read from .env.",
    )
    argument_parser.add_argument("--version", action="version", version=f"candlewax {__version__}")
    commands = argument_parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add in COMMANDS.items():
        if name == command_name or command_name not in {*COMMANDS, "--version"}:
            add(commands)
    return argument_parser


def _add_init(commands: Any) -> None:  # noqa: ANN401 - argparse keeps its type private
    init = commands.add_parser(
        "init", help="create the database, its tables and views, and the topics"
    )
    init.set_defaults(run=_init)


def _add_check(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import check

    check.add(commands)


def _add_instruments(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import instruments

    instruments.add(commands)


def _add_sql(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import sql

    sql.add(commands)


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

    repair.add(commands, _build_repair)


def _add_bars(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import bars

    bars.add(commands)


def _add_rebuild(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import rebuild

    rebuild.add(commands)


def _add_reconcile(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import reconcile
    from dataflows import ohlcv

    reconcile.add(commands, ohlcv.build)


def _add_watch(commands: Any) -> None:  # noqa: ANN401
    watch = commands.add_parser(
        "watch",
        help="cross-check recently closed candles, again and again, until stopped; "
        "CANDLEWAX_METRICS_PORT serves the results",
    )
    watch.set_defaults(run=_watch)


def _add_simulate(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import simulate as command

    command.add(commands)


def _add_up(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import up
    from dataflows import ohlcv

    up.add(commands, ohlcv.build)


def _add_live(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import live
    from dataflows import ohlcv

    live.add(commands, ohlcv.build)


def _add_status(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import status

    status.add(commands)


def _add_serve(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import serve

    serve.add(commands)


def _add_export(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import export

    export.add(commands)


def _add_backup(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import backup

    backup.add_backup(commands)


def _add_restore(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import backup

    backup.add_restore(commands)


def _add_offload(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import offload

    offload.add(commands)


def _add_cold(commands: Any) -> None:  # noqa: ANN401
    from candlewax.cli import cold

    cold.add(commands)


COMMANDS: Final[dict[str, Callable[[Any], None]]] = {
    "check": _add_check,
    "init": _add_init,
    "instruments": _add_instruments,
    "sql": _add_sql,
    "verify": _add_verify,
    "gaps": _add_gaps,
    "backfill": _add_backfill,
    "repair": _add_repair,
    "rebuild": _add_rebuild,
    "reconcile": _add_reconcile,
    "bars": _add_bars,
    "watch": _add_watch,
    "simulate": _add_simulate,
    "up": _add_up,
    "live": _add_live,
    "status": _add_status,
    "serve": _add_serve,
    "export": _add_export,
    "backup": _add_backup,
    "restore": _add_restore,
    "offload": _add_offload,
    "cold": _add_cold,
}


def _init(_: argparse.Namespace) -> int:
    from candlewax.cli.common import exit_on_error
    from candlewax.clickhouse.client import open_tables
    from candlewax.core.instruments import load as load_instruments
    from candlewax.core.kind_marks import REAL
    from candlewax.kafka.client import KafkaClient
    from candlewax.kafka.topic_setup import create_topics
    from candlewax.pipeline.data_kind import settings_for_kind
    from candlewax.runtime.settings import load as load_settings

    # A database that is created ahead of its first data is for real data by default.
    settings = settings_for_kind(exit_on_error(1, load_settings), REAL)
    exit_on_error(
        1, lambda: open_tables(settings.clickhouse, settings.database, settings.retention)
    )
    print(f"{settings.clickhouse}: database {settings.database} is ready")
    if brokers := settings.brokers:
        instruments = exit_on_error(1, lambda: load_instruments(settings.instruments))
        exchanges = settings.exchanges or instruments.exchanges
        exit_on_error(1, lambda: create_topics(KafkaClient(brokers), brokers, exchanges))
        print(f"{brokers}: the topics are ready")
    return 0


def _backfill(arguments: argparse.Namespace) -> int:
    from candlewax.cli import backfill
    from candlewax.cli.common import exit_on_error

    return exit_on_error(1, lambda: backfill.run(arguments, _build_pipeline))


def _build_pipeline(components: "Components") -> "Dataflow":
    from dataflows import ingest, ohlcv

    return ohlcv.build(components) if components.topics is None else ingest.build(components)


def _build_repair(components: "Components") -> "Dataflow":
    from dataflows import repair

    return repair.build(components)


def _watch(_: argparse.Namespace) -> int:
    from candlewax.cli.common import exit_on_error
    from candlewax.runtime.errors import configure_logging
    from candlewax.runtime.settings import load as load_settings
    from candlewax.verification import monitor

    configure_logging()
    settings = exit_on_error(1, load_settings)
    configure_logging(settings.log)
    exit_on_error(1, lambda: monitor.serve(settings))
    return 0
