"""Command `candlewax rebuild`: computes trades and candles again from stored frames."""

import argparse
import json
import logging
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.run import cli_main
from rich import box
from rich.table import Table

from candlewax.cli.common import exit_on_error, open_database, parse_cli_time
from candlewax.cli.progress import show_count, shows_progress
from candlewax.clickhouse.client import Database
from candlewax.core.instruments import Instruments
from candlewax.core.instruments import load as load_instruments
from candlewax.core.shards import WHOLE_EXCHANGES, ShardPlan
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.replay.stored_frames import StoredFrameSource
from candlewax.pipeline import builder
from candlewax.pipeline.reports.summary import console
from candlewax.runtime.counters import Counters
from candlewax.runtime.log_settings import apply_log_settings
from candlewax.runtime.settings import load as load_settings
from candlewax.verification.content_hash import Day
from candlewax.verification.rebuild import FIRST, LAST, Play, RebuildResult, rebuild
from dataflows import ohlcv

SAME, DIFFERENT, NOT_REBUILT = 0, 1, 2
"""Exit statuses."""

_WIDE: Final = 96
"""Columns of a terminal from which on the hashes are shown, so that no number is cut."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "rebuild",
        help="compute trades and candles again from the stored frames, beside the stored ones, "
        "and compare; exit 0: the same, 1: not the same, 2: could not rebuild",
    )
    command.add_argument(
        "--from", dest="begin", type=parse_cli_time, help="compare what happened from then on (all)"
    )
    command.add_argument("--to", dest="end", type=parse_cli_time, help="and before then (all)")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=_run, parser=command)


def _run(arguments: argparse.Namespace) -> int:
    begin, end = (
        default if time is None else (time - _EPOCH) // timedelta(microseconds=1)
        for time, default in ((arguments.begin, FIRST), (arguments.end, LAST))
    )
    if begin >= end:
        arguments.parser.error("--from is not before --to")
    settings = exit_on_error(NOT_REBUILT, load_settings)
    instruments = exit_on_error(NOT_REBUILT, lambda: load_instruments(settings.instruments))
    logging.basicConfig()
    # The lines of the first run are no news.
    apply_log_settings(replace(settings.log, level=max(settings.log.level, logging.WARNING)))
    with closing(open_database(NOT_REBUILT)) as stored:
        player = build_player(instruments, ShardPlan(settings.shards))
        result = exit_on_error(NOT_REBUILT, lambda: rebuild(settings, player, stored, begin, end))
    if arguments.json:
        print(to_json(result))
    else:
        _print_result(result)
    if not result.comparison.days:
        return NOT_REBUILT
    return SAME if result.comparison.same else DIFFERENT


def build_player(instruments: Instruments, shard_plan: ShardPlan = WHOLE_EXCHANGES) -> Play:
    """Return a function that runs stored frames through the pipeline into a database."""

    def play(feed: StoredFrameSource, database: Database, counters: Counters) -> None:
        components = builder.build_components(
            feed, instruments, EXCHANGES, database, counters, shard_plan=shard_plan
        )
        total = feed.count_frames() if shows_progress() else None
        with show_count("rebuilding", total, "frames", lambda: counters.total("frames")):
            cli_main(ohlcv.build(components))

    return play


def to_json(result: RebuildResult) -> str:
    """Return the result as JSON."""
    comparison = result.comparison
    return json.dumps(
        {
            "same": comparison.same,
            "frames": result.frames,
            "days": [{**asdict(day), "same": day.same} for day in comparison.days],
            "unsettled": comparison.unsettled,
            "other_revisions": comparison.revisions,
            "examples": comparison.examples,
        },
        default=str,
        ensure_ascii=False,
    )


def _print_result(result: RebuildResult) -> None:
    screen = console()
    comparison = result.comparison
    screen.print(f"{result.frames:,} frames read once more", highlight=False)
    screen.print(_table(comparison.days, with_hashes=screen.width >= _WIDE))
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


def _table(days: list[Day], *, with_hashes: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    hashes = ("hash stored", "rebuilt") if with_hashes else ()
    for name in ("table", "day (UTC)", "rows stored", "rebuilt", *hashes, ""):
        table.add_column(name, justify="right" if "r" in name[:2] else "left", no_wrap=True)
    for day in days:
        table.add_row(
            day.table,
            str(day.day),
            f"{day.stored.rows:,}",
            f"{day.rebuilt.rows:,}",
            *((day.stored.hash[:12], day.rebuilt.hash[:12]) if with_hashes else ()),
            "same" if day.same else "[bold red]differs[/]",
        )
    return table
