"""Command `candlewax offload`: one round of the cold tier."""

import argparse
import time

from candlewax.cli.cold_common import open_cold
from candlewax.cold.daily import prepare, run_daily
from candlewax.cold.units import Measure, Unit
from candlewax.pipeline.reports.summary import console
from candlewax.runtime.shutdown import ShutdownSignal


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "offload",
        help="write what is due into the archive of CANDLEWAX_COLD and read it back; exit 0: all "
        "is verified, 1: some is not",
    )
    command.add_argument(
        "--all",
        action="store_true",
        help="compare every hour and day, also those without rows stored since the last time",
    )
    command.add_argument(
        "--daily",
        action="store_true",
        help="then do what a running process does once a day: merge files, seal a manifest, drop "
        "warm rows that are past their time and proven, and compare",
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    shutdown = ShutdownSignal()
    shutdown.listen()
    screen = console()
    begun = time.monotonic()
    rows = 0

    def show(unit: Unit, measure: Measure) -> None:
        nonlocal rows
        rows += measure.rows
        rate = rows / max(time.monotonic() - begun, 0.001)
        screen.print(f"{unit}: {measure.rows:,} rows, {rate:,.0f} rows/s", highlight=False)

    with open_cold(1) as tier:
        prepare(tier)
        result = tier.offloader.run_round(
            every_unit=arguments.all, on_unit=show, should_stop=shutdown
        )
        tier.views.refresh_all()
        screen.print(
            f"{result.offloaded:,} units with {result.rows:,} rows written and read back; "
            f"{result.looked_at:,} looked at",
            highlight=False,
        )
        errors = 0
        if arguments.daily and not result.errors:
            errors = run_daily(tier, shutdown, lambda line: screen.print(line, highlight=False))
    for error in result.errors:
        screen.print(f"[bold red]{error}[/]", highlight=False)
    if shutdown():
        screen.print("Stopped as asked; the rest is offloaded the next time.")
    return 1 if result.errors or errors else 0
