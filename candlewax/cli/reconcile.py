"""Command `candlewax reconcile`: checks a day of candles against the exchange's public files."""

import argparse
import json
import logging
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from candlewax.cli.common import CommandError, exit_on_error, parse_cli_time
from candlewax.cli.progress import show_count, shows_progress
from candlewax.clickhouse.client import Database, open_tables
from candlewax.core.instruments import Instruments
from candlewax.core.instruments import load as load_instruments
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.daily_files import DailyFiles
from candlewax.exchanges.protocol.dialect import DumpRules
from candlewax.feeds.rest import backfill
from candlewax.feeds.rest.backfill import BackfillSource
from candlewax.feeds.rest.day_files import DayFile, DayFileError, fetch
from candlewax.feeds.rest.span_pages import SpanCounts
from candlewax.pipeline import builder
from candlewax.pipeline.builder import Components
from candlewax.runtime.counters import Counters
from candlewax.runtime.settings import load as load_settings
from candlewax.verification.day_comparison import (
    DayComparison,
    DayTrades,
    compare_day,
    read_trades,
)

EQUAL, DIFFERENT, NOT_COMPARED = 0, 1, 2
"""Exit statuses."""

MOST_LISTED: Final = 20
"""Differing candles that are listed."""


@dataclass(frozen=True)
class _Request:
    """Market by its native and its unified symbol, and the day."""

    exchange: str
    native_symbol: str
    symbol: str
    day: date


def add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    build: Callable[[Components], Dataflow],
) -> None:
    """Add the command to the parser. `build` builds the dataflow from frames to candles."""
    command = commands.add_parser(
        "reconcile",
        help="download a day's trades and candles that an exchange publishes, make the candles of "
        "the trades and compare; exit 0: equal, 1: different, 2: could not compare",
    )
    command.add_argument("exchange", metavar="EXCHANGE", choices=EXCHANGES)
    command.add_argument("symbol", metavar="SYMBOL", help="native or unified: BTCUSDT, BTC/USDT")
    command.add_argument(
        "day", metavar="DATE", type=parse_cli_time, help="day in UTC, as 2026-01-31"
    )
    command.add_argument(
        "--folder",
        type=Path,
        help="keep the files in this directory, and use those that are there (they are removed)",
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=lambda arguments: _run(arguments, build))


def _run(arguments: argparse.Namespace, build: Callable[[Components], Dataflow]) -> int:
    logging.basicConfig(level=logging.WARNING)
    return exit_on_error(NOT_COMPARED, lambda: _reconcile(arguments, build))


def _reconcile(arguments: argparse.Namespace, build: Callable[[Components], Dataflow]) -> int:
    settings = load_settings()
    instruments = load_instruments(settings.instruments)
    exchange = EXCHANGES[arguments.exchange]
    if not (exchange.daily_files and exchange.dump and exchange.candles):
        able = ", ".join(name for name, one in EXCHANGES.items() if one.daily_files)
        raise CommandError(
            f"{exchange.id}: no daily files of trades and candles are known of it; "
            f"those of {able} are"
        )
    request = _parse_request(arguments, instruments)
    files = exchange.daily_files
    url = settings.files_urls.get(exchange.id, files.url)
    with tempfile.TemporaryDirectory(prefix="candlewax-") as scratch:
        folder = arguments.folder or Path(scratch)
        trades, candles = _download(url, files, request, folder)
        with closing(open_tables(Path(scratch) / "database", "day")) as database:
            _compute(request, trades.path, exchange.dump, instruments, database, build)
            stored = read_trades(database)
            market = request.exchange, request.symbol
            result = compare_day(
                database, market, request.day, candles.path, exchange.candles, files.unpublished
            )
    _print(request, (trades, candles), stored, result, as_json=arguments.json)
    is_equal = not (result.differing or stored.missing or stored.unreadable)
    return EQUAL if is_equal else DIFFERENT


def _parse_request(arguments: argparse.Namespace, instruments: Instruments) -> _Request:
    """Return the market and the day of the command line. Raises CommandError."""
    exchange = arguments.exchange
    native_symbol = instruments.find_native_symbol(exchange, arguments.symbol)
    instrument = native_symbol and instruments.resolve(exchange, native_symbol)
    if not native_symbol or not instrument:
        raise CommandError(
            f"{arguments.symbol!r} is no symbol of {exchange}: expected one as it writes them "
            "or a unified one that the instruments file lists"
        )
    return _Request(exchange, native_symbol, instrument.symbol, _parse_day(arguments.day))


def _download(
    url: str, files: DailyFiles, request: _Request, folder: Path
) -> tuple[DayFile, DayFile]:
    """Return the files of trades and of candles. Raises CommandError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (
            _fetch(url, files.trades_path(request.native_symbol, request.day), folder),
            _fetch(url, files.candles_path(request.native_symbol, request.day), folder),
        )
    except (DayFileError, OSError) as error:
        raise CommandError(str(error)) from error


def _compute(
    request: _Request,
    trades: Path,
    dump: DumpRules,
    instruments: Instruments,
    database: Database,
    build: Callable[[Components], Dataflow],
) -> None:
    """Store trades and their candles by the pipeline. Raises CommandError."""
    counters = Counters()
    source = BackfillSource(
        request.exchange,
        request.native_symbol,
        lambda _: backfill.pieces([trades], dump, None, counters.add_bytes_read, SpanCounts()),
        counters,
        lambda: False,
    )
    exchanges = (request.exchange,)
    components = builder.build_components(source, instruments, exchanges, database, counters)
    with _progress("trades", lambda: counters.total("trades")):
        cli_main(build(components))
    if source.error:
        raise CommandError(str(source.error))


def _parse_day(time: datetime) -> date:
    """Return the day of a time. Raises CommandError."""
    if time != time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0):
        raise CommandError(f"DATE: got {time:%Y-%m-%d %H:%M}, takes a day in UTC, as 2026-01-31")
    if time + timedelta(days=1) > datetime.now(UTC):
        raise CommandError(f"DATE: {time:%Y-%m-%d} has not ended; its files come on the day after")
    return time.date()


def _fetch(url: str, path: str, folder: Path) -> DayFile:
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size

    with _progress(f"bytes of {path.rpartition('/')[2]}", lambda: done):
        return fetch(url, path, folder, count)


def _progress(noun: str, count: Callable[[], int]) -> AbstractContextManager[None]:
    return show_count("reading", None, noun, count) if shows_progress() else nullcontext()


def _print(
    request: _Request,
    files: tuple[DayFile, DayFile],
    trades: DayTrades,
    result: DayComparison,
    *,
    as_json: bool,
) -> None:
    if as_json:
        print(_to_json(request, files, trades, result))
        return
    print(f"{request.exchange} {request.symbol} {request.day}")
    for file in files:
        size = f"{file.size_bytes:,} bytes"
        print(f"  {file.path.name}: {size}, SHA-256 {file.sha256} as published")
    print(f"{trades.trades:,} trades, {_describe_numbers(trades)}")
    if trades.unreadable:
        print(f"{trades.unreadable:,} lines cannot be read")
    print(f"{result.equal:,} of {result.candles:,} candles equal in every field")
    for start, comparison in list(result.differing.items())[:MOST_LISTED]:
        print(
            f"  {_time(start)}: {comparison.reason or '; '.join(map(str, comparison.differences))}"
        )
    if len(result.differing) > MOST_LISTED:
        print(f"  and {len(result.differing) - MOST_LISTED:,} more")


def _describe_numbers(trades: DayTrades) -> str:
    if trades.missing:
        return f"of which {trades.missing:,} are missing from {trades.first} to {trades.last}"
    return f"numbers {trades.first} to {trades.last} without a hole"


def _time(start_s: int) -> str:
    return f"{datetime.fromtimestamp(start_s, UTC):%H:%M}"


def _to_json(
    request: _Request, files: tuple[DayFile, DayFile], trades: DayTrades, result: DayComparison
) -> str:
    return json.dumps(
        {
            "exchange": request.exchange,
            "symbol": request.symbol,
            "day": str(request.day),
            "files": [{"name": file.path.name, "sha256": file.sha256} for file in files],
            **trades._asdict(),
            "candles": result.candles,
            "equal": result.equal,
            "differing": [
                {
                    "window_start": datetime.fromtimestamp(start, UTC).isoformat(),
                    "reason": comparison.reason,
                    "fields": {
                        one.field: {"ours": one.ours, "theirs": one.theirs}
                        for one in comparison.differences
                    },
                }
                for start, comparison in result.differing.items()
            ],
        },
        ensure_ascii=False,
    )
