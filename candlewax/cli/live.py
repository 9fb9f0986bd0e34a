"""Command `candlewax live`: stores the live feeds and shows their candles in the terminal."""

import argparse
import os
from collections.abc import Callable
from functools import partial

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from candlewax.cli.common import exit_on_error
from candlewax.clickhouse import engine
from candlewax.pipeline.app import build_flow
from candlewax.pipeline.builder import Components
from candlewax.runtime.settings import SettingsError
from candlewax.runtime.settings import load as load_settings

_FEED = "CANDLEWAX_FEED"


def add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    build: Callable[[Components], Dataflow],
) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "live",
        help="store the exchanges' live feeds and show the candles of all markets in the terminal, "
        "until Ctrl-C; candlewax up shows them on a page",
    )
    command.set_defaults(run=partial(run, build=build))


def run(_: argparse.Namespace, build: Callable[[Components], Dataflow]) -> int:
    """Run until Ctrl-C. Return the exit status."""
    os.environ[_FEED] = "live"
    exit_on_error(1, _require_no_broker)
    cli_main(build_flow(build, candles=True))
    return engine.exit_with(0)


def _require_no_broker() -> None:
    if load_settings().brokers:
        raise SettingsError(
            "CANDLEWAX_BROKERS: live runs without a broker; behind one, the dataflows ingest, "
            "silver and ohlcv do its work, and candlewax serve shows what they store"
        )
