"""Command `candlewax export`: writes candles or bars to files."""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from candlewax.cli.common import CommandError, exit_on_error, open_for_reading, parse_cli_time
from candlewax.cli.progress import show_progress
from candlewax.client.bar_pages import read_rule
from candlewax.client.export import (
    FORMATS,
    LAYOUTS,
    ExportError,
    Target,
    choose_target,
    export,
)
from candlewax.client.reader import Reader
from candlewax.client.request import RequestError, Span
from candlewax.client.selection import Selection, Series, series_of_bars, series_of_candles
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.runtime.cold_settings import reach_archive
from candlewax.runtime.settings import load as load_settings

DEFAULT_TIMEFRAME: Final = "1m"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "export",
        help="write candles or bars to a file of Parquet, CSV or Feather, or to a directory",
    )
    command.add_argument("path", type=Path, help="file, as candles.parquet, or directory")
    command.add_argument(
        "--exchange", action="append", default=[], help="only of this exchange; may come again"
    )
    command.add_argument(
        "--symbol",
        action="append",
        default=[],
        help="only of this market, as BTC/USDT; may come again",
    )
    command.add_argument(
        "--timeframe",
        choices=TIMEFRAMES,
        action="append",
        help=f"may come again ({DEFAULT_TIMEFRAME})",
    )
    command.add_argument(
        "--bars",
        action="append",
        metavar="RULE",
        help="bars in place of candles, as 'tick 1000', 'volume 50' or 'dollar 1000000'; may come "
        "again",
    )
    for name, description in (("from", "begin, UTC"), ("to", "end, exclusive")):
        command.add_argument(f"--{name}", dest=name, type=parse_cli_time, help=description)
    command.add_argument("--closed", action="store_true", help="none that is still forming")
    command.add_argument(
        "--complete", action="store_true", help="only those that are proven to miss no trade"
    )
    command.add_argument("--format", choices=FORMATS, help="the ending of the file, or parquet")
    command.add_argument(
        "--layout",
        choices=LAYOUTS,
        default=LAYOUTS[0],
        help="hive: a directory with a file for each series; freqtrade: its data directory, of "
        "closed candles",
    )
    command.add_argument("--floats", action="store_true", help="amounts as floats, not as decimals")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = exit_on_error(1, load_settings)
    if settings.cold:
        reach_archive(settings.cold)
    with closing(open_for_reading(1)) as database:
        return exit_on_error(1, lambda: _export(Reader(database), arguments))


def _export(reader: Reader, arguments: argparse.Namespace) -> int:
    begin, end = getattr(arguments, "from"), arguments.to
    if begin and end and begin >= end:
        raise CommandError("--from is not before --to")
    try:
        target = choose_target(
            arguments.path, arguments.format, arguments.layout, floats=arguments.floats
        )
        selection = Selection(
            _select_series(reader, arguments),
            Span(begin, end),
            # freqtrade takes every candle in a file as closed.
            closed=arguments.closed or target.layout == "freqtrade",
            complete=arguments.complete,
        )
        count = _write(reader, selection, target)
    except (RequestError, ExportError) as error:
        raise CommandError(str(error)) from None
    noun = selection.noun
    if not count:
        raise CommandError(f"no {noun} is selected; the files in {target.path} hold none")
    series = len(selection.series)
    print(f"{count:,} {noun}s of {series:,} series written to {target.path}", file=sys.stderr)
    return 0


def _select_series(reader: Reader, arguments: argparse.Namespace) -> tuple[Series, ...]:
    """Return the series that the options name. Raises RequestError, CommandError."""
    if arguments.bars and arguments.timeframe:
        raise CommandError("--bars and --timeframe: a file holds bars or candles, not both")
    if arguments.bars and arguments.layout == "freqtrade":
        raise CommandError("--bars: got the layout freqtrade, which holds candles only")
    rules = [read_rule(text) for text in arguments.bars or ()]
    markets = reader.select_markets(arguments.exchange, arguments.symbol)
    if rules:
        return series_of_bars(reader, markets, rules)
    return series_of_candles(markets, arguments.timeframe or [DEFAULT_TIMEFRAME])


def _write(reader: Reader, selection: Selection, target: Target) -> int:
    count, noun = 0, selection.noun
    total = selection.count(reader)
    if not total:
        raise ExportError(f"no {noun} is selected; {target.path} is left as it was")
    with show_progress(f"{noun}s", total, f"{noun}s") as bar:
        for series, rows in export(reader, selection, target):
            count += rows
            bar.advance(rows, str(series))
    return count
