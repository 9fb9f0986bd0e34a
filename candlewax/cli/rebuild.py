"""The command `candlewax rebuild`: from the stored frames, does the same come out?"""

import argparse
import json
import logging
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.run import cli_main
from rich import box
from rich.table import Table

from candlewax.cli.common import attempt, database, moment
from candlewax.clickhouse.client import Database
from candlewax.core import instruments
from candlewax.core.instruments import Instruments
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.replay.stored_frames import StoredFrames
from candlewax.pipeline import builder
from candlewax.pipeline.reports.summary import console
from candlewax.runtime import settings
from candlewax.runtime.counters import Tally
from candlewax.verification.content_hash import Day
from candlewax.verification.rebuild import FIRST, LAST, Play, Rebuilt, rebuild
from dataflows import ohlcv

SAME, DIFFERENT, NOT_REBUILT = 0, 1, 2
"""Exit statuses."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "rebuild",
        help="compute trades and candles again from the stored frames, beside the stored ones, "
        "and compare; exit 0: the same, 1: not the same, 2: could not rebuild",
    )
    command.add_argument(
        "--from", dest="begin", type=moment, help="compare what happened from then on (all)"
    )
    command.add_argument("--to", dest="end", type=moment, help="and before then (all)")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=_run, parser=command)


def _run(arguments: argparse.Namespace) -> int:
    begin, end = (
        default if given is None else (given - _EPOCH) // timedelta(microseconds=1)
        for given, default in ((arguments.begin, FIRST), (arguments.end, LAST))
    )
    if begin >= end:
        arguments.parser.error("--from is not before --to")
    chosen = attempt(NOT_REBUILT, settings.load)
    known = attempt(NOT_REBUILT, lambda: instruments.load(chosen.instruments))
    logging.basicConfig(level=logging.WARNING)
    with closing(database(NOT_REBUILT)) as stored:
        found = attempt(NOT_REBUILT, lambda: rebuild(chosen, player(known), stored, begin, end))
    if arguments.json:
        print(to_json(found))
    else:
        _show(found)
    if not found.comparison.days:
        return NOT_REBUILT
    return SAME if found.comparison.same else DIFFERENT


def player(known: Instruments) -> Play:
    """Return what plays stored frames through the pipeline, with the instruments that are known."""

    def play(feed: StoredFrames, database: Database, tally: Tally) -> None:
        cli_main(ohlcv.build(builder.make(feed, known, EXCHANGES, database, tally)))

    return play


def to_json(found: Rebuilt) -> str:
    """The result as JSON."""
    comparison = found.comparison
    return json.dumps(
        {
            "same": comparison.same,
            "frames": found.frames,
            "days": [{**asdict(day), "same": day.same} for day in comparison.days],
            "unsettled": comparison.unsettled,
            "other_revisions": comparison.revisions,
            "examples": comparison.examples,
        },
        default=str,
        ensure_ascii=False,
    )


def _show(found: Rebuilt) -> None:
    screen = console()
    comparison = found.comparison
    screen.print(f"{found.frames:,} frames read once more", highlight=False)
    screen.print(_table(comparison.days))
    if comparison.unsettled:
        text = f"{comparison.unsettled:,} candles that frames alone do not settle are left out"
        screen.print(text)
    if comparison.revisions:
        screen.print(f"{comparison.revisions:,} candles differ in `revision` only")
    for example in comparison.examples:
        name = " ".join(
            str(value) for key, value in example.items() if key not in {"problem", "fields"}
        )
        screen.print(f"  {name}: {example['problem']}", highlight=False)
        for field, values in example["fields"].items():
            text = f"    {field}: stored {values['stored']}, rebuilt {values['rebuilt']}"
            screen.print(text, highlight=False, markup=False)
    if not comparison.days:
        screen.print("Nothing is stored of this time, so nothing was compared.")
    else:
        screen.print("The same." if comparison.same else "[bold red]Not the same.[/]")


def _table(days: list[Day]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("table", "day (UTC)", "rows stored", "rebuilt", "hash stored", "rebuilt", ""):
        table.add_column(name, justify="right" if "r" in name[:2] else "left", no_wrap=True)
    for day in days:
        table.add_row(
            day.table,
            str(day.day),
            f"{day.stored.rows:,}",
            f"{day.rebuilt.rows:,}",
            day.stored.hash[:12],
            day.rebuilt.hash[:12],
            "same" if day.same else "[bold red]differs[/]",
        )
    return table
