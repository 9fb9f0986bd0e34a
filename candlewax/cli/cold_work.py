"""Commands `candlewax cold maintain`, `restore`, `recover` and `off`."""

import argparse
from dataclasses import replace
from typing import Any

from candlewax.cli.cold_common import open_cold, require_tables
from candlewax.cli.common import exit_on_error, open_database, parse_cli_time
from candlewax.cli.progress import ProgressBar, show_progress
from candlewax.clickhouse.retention import apply_retention
from candlewax.cold import seal
from candlewax.cold.layers import Layer
from candlewax.cold.maintenance.maintain import maintain
from candlewax.cold.recover import recover
from candlewax.cold.restore import Progress, RestoreError, restore
from candlewax.cold.units import EPOCH
from candlewax.pipeline.reports.summary import console
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.shutdown import ShutdownSignal


def add(subcommands: Any) -> None:  # noqa: ANN401 - argparse keeps its type private
    """Add the subcommands to the parser of `candlewax cold`."""
    maintenance = subcommands.add_parser(
        "maintain", help="merge files to one a day, expire snapshots, remove orphans"
    )
    maintenance.add_argument("--dry-run", action="store_true", help="only list what would be done")
    maintenance.set_defaults(run=_maintain)
    restoring = subcommands.add_parser(
        "restore", help="put archived rows back into tables of ClickHouse, and compare them"
    )
    for name, description in (("from", "begin, UTC"), ("to", "end, exclusive")):
        restoring.add_argument(
            f"--{name}", dest=name, type=parse_cli_time, required=True, help=description
        )
    restoring.add_argument(
        "--into", default="", metavar="DATABASE", help="CANDLEWAX_DATABASE with _restored behind it"
    )
    restoring.set_defaults(run=_restore)
    recovering = subcommands.add_parser(
        "recover", help="fill the catalog and cold_units again from the files of the archive"
    )
    recovering.set_defaults(run=_recover)
    off = subcommands.add_parser(
        "off", help="give the tables their retention back, after CANDLEWAX_COLD was taken away"
    )
    off.set_defaults(run=_off)


def _maintain(arguments: argparse.Namespace) -> int:
    screen = console()
    shutdown = ShutdownSignal()
    shutdown.listen()
    with open_cold(1) as tier:
        require_tables(tier)
        with show_progress("maintaining", None, "steps") as bar:
            report = maintain(
                tier,
                tier.warm.now(),
                dry_run=arguments.dry_run,
                on_progress=print,
                on_step=bar.show,
                should_stop=shutdown,
            )
    screen.print(report.text("would be" if arguments.dry_run else "were"), highlight=False)
    for error in report.errors:
        screen.print(f"[bold red]{error}[/]", highlight=False)
    return 1 if report.errors else 0


def _restore(arguments: argparse.Namespace) -> int:
    begin, end = getattr(arguments, "from"), arguments.to
    screen = console()

    def show(progress: Progress, bar: ProgressBar) -> None:
        bar.show(progress.done, progress.total)
        day = f" {progress.day:%Y-%m-%d}" if progress.day > EPOCH else ""
        print(f"{progress.layer}{day}: {progress.rows:,} rows")

    with open_cold(1, RestoreError) as tier:
        if begin >= end:
            raise RestoreError("--from is not before --to")
        require_tables(tier)
        place, into = load_settings().clickhouse, arguments.into
        with show_progress("restoring", None, "rows") as bar:
            done = restore(tier, place, begin, end, into, lambda one: show(one, bar))
    screen.print(
        f"{done.units:,} units with {done.rows:,} rows restored into the database {done.database} "
        f"and found equal; {done.present:,} were there",
        highlight=False,
    )
    return 0


def _recover(_: argparse.Namespace) -> int:
    screen = console()

    def show(layer: Layer, units: int) -> None:
        screen.print(f"{layer.name}: {units:,} units", highlight=False)

    with open_cold(1) as tier:
        done = recover(tier, seal.sealed_units(tier), show)
    for name in done.registered:
        screen.print(f"{name}: registered in the catalog", highlight=False)
    for reason in done.unverified:
        screen.print(f"[bold red]{reason}[/]", highlight=False)
    screen.print(f"{done.units:,} units are known", highlight=False)
    return 1 if done.unverified else 0


def _off(_: argparse.Namespace) -> int:
    database = open_database(1)
    retention = replace(exit_on_error(1, load_settings).retention, is_cold=False)
    tables = exit_on_error(1, lambda: apply_retention(database, retention, is_returning=True))
    database.close()
    names = ", ".join(tables)
    print(f"retention is back: {names}" if names else "every table has its retention")
    return 0
