"""Command `candlewax bars`: makes the bars of all stored trades."""

import argparse
from contextlib import closing

from candlewax.cli.common import CommandError, exit_on_error, open_database
from candlewax.clickhouse.bar_thread import bar_rules, refresh_all
from candlewax.core.instruments import Instruments
from candlewax.core.instruments import load as load_instruments
from candlewax.runtime.settings import load as load_settings


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "bars",
        help="make tick, volume and dollar bars of all stored trades, for the markets with "
        "thresholds in the instruments file",
    )
    command.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    instruments = exit_on_error(1, _load)
    with closing(open_database(1)) as database:
        done = exit_on_error(1, lambda: list(refresh_all(database, instruments)))
    for exchange, symbol, refreshed in done:
        print(f"{exchange} {symbol}: {refreshed.days:,} days, {refreshed.rows:,} rows stored")
    return 0


def _load() -> Instruments:
    path = load_settings().instruments
    instruments = load_instruments(path)
    if not any(bar_rules(instruments)):
        raise CommandError(
            f"{path}: no market has bars; add a table such as [binance.bars] with "
            '"BTC/USDT" = ["tick 1000", "volume 50", "dollar 1000000"]'
        )
    return instruments
