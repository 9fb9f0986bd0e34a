"""Commands `candlewax backup` and `candlewax restore`."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from candlewax.cli.common import exit_on_error, open_database
from candlewax.clickhouse import backup
from candlewax.clickhouse.backup import Saved
from candlewax.clickhouse.engine import allow_backups
from candlewax.clickhouse.table_content import Step
from candlewax.pipeline.reports.summary import console
from candlewax.runtime.settings import load as load_settings

_PLACE: Final = (
    "a path where the database runs, or disk:NAME/PATH of a ClickHouse server; ClickHouse itself "
    "reads and writes it"
)


def add_backup(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "backup", help="save all tables to a place that holds nothing yet; the pipeline may run on"
    )
    command.add_argument("to", metavar="TO", help=_PLACE)
    command.set_defaults(run=_backup)


def add_restore(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "restore", help="read a backup into a database that is absent, and compare it"
    )
    command.add_argument("source", metavar="FROM", help=_PLACE)
    command.set_defaults(run=_restore)


def _backup(arguments: argparse.Namespace) -> int:
    settings = exit_on_error(1, load_settings)
    target = exit_on_error(1, lambda: backup.new_target(settings.clickhouse, arguments.to))
    with allow_backups(), closing(open_database(1)) as database, _progress() as show:
        saved = exit_on_error(1, lambda: backup.make_backup(database, target, show))
    _print_saved(saved, f"saved from {settings.clickhouse}, database {settings.database}")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    settings = exit_on_error(1, load_settings)
    place, name = settings.clickhouse, settings.database
    source = exit_on_error(1, lambda: backup.backup_target(place, arguments.source))
    with allow_backups(), _progress() as show:
        saved = exit_on_error(
            1, lambda: backup.restore_backup(place, name, source, settings.retention, show)
        )
    _print_saved(saved, f"restored to {place}, database {name}, and found equal")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[Step], None]]:
    """Yield a function that shows how far a task is, its rate and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console()) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            if step.task not in tasks:
                tasks[step.task] = bars.add_task(step.task, total=None)
            bars.update(tasks[step.task], completed=step.done, total=step.total)

        yield show


def _print_saved(saved: Saved, outcome: str) -> None:
    screen = console()
    for content in saved.contents:
        if content.rows:
            screen.print(
                f"{content.table:<16} {content.rows:>15,} rows  {int(content.hash):032x}",
                highlight=False,
            )
    size = f"{saved.rows:,} rows, {saved.bytes / 1e6:,.1f} MB"
    screen.print(f"{len(saved.contents)} tables with {size}: {outcome}", highlight=False)
