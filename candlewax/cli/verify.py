"""Command `candlewax verify`: computes all candles again in SQL and compares them."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from candlewax.cli.common import exit_on_error, open_database
from candlewax.cli.progress import show_progress
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.instruments import load as load_instruments
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.reports.summary import console
from candlewax.runtime.settings import load as load_settings
from candlewax.verification.frame_check import SETTLE_S
from candlewax.verification.kline_files import KlineReport, Market, compare_file
from candlewax.verification.verify import STEPS, report, to_json, verify

EQUAL, DIFFERENT, NOT_COMPARED = 0, 1, 2
"""Exit statuses."""

_COLUMNS: Final = {
    "compared": "both have",
    "equal": "equal",
    "differing": "differ",
    "known": "of these not called complete",
    "only_ours": "only ours",
    "only_theirs": "only theirs",
    "empty": "nothing traded",
    "beyond": "beyond ours",
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "verify",
        help="compute all candles again in SQL and compare every field; "
        "exit 0: all equal, 1: differences, 2: could not compare, or nothing is stored",
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    group = command.add_argument_group("against the exchange's own candles")
    group.add_argument(
        "--exchange-candles",
        nargs="+",
        type=Path,
        metavar="FILE",
        default=[],
        help="klines of Binance (.csv, .zip), answers of Kraken's OHLC (.json)",
    )
    group.add_argument("--exchange", choices=EXCHANGES, help="whose candles the files hold")
    group.add_argument("--symbol", help="of which market, unified, as BTC/USDT")
    group.add_argument("--timeframe", choices=TIMEFRAMES, help="and of which timeframe")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    files = arguments.exchange_candles
    market = Market(arguments.exchange, arguments.symbol, arguments.timeframe)
    settings = exit_on_error(NOT_COMPARED, load_settings)
    instruments = exit_on_error(NOT_COMPARED, lambda: load_instruments(settings.instruments))
    with closing(open_database(NOT_COMPARED)) as tables:
        reports = exit_on_error(
            NOT_COMPARED,
            lambda: [compare_file(tables, instruments, path, market) for path in files],
        )
        settle_s = () if tables.is_embedded else SETTLE_S
        with show_progress("verifying", STEPS, "steps") as bar:
            result = exit_on_error(
                NOT_COMPARED, lambda: verify(tables.client, settle_s, lambda: bar.advance(1))
            )
    if result.is_empty:
        place = f"{settings.clickhouse}, database {settings.database}"
        print(f"candlewax: nothing to verify in {place}", file=sys.stderr)
    if arguments.json:
        more = {"exchange_candles": [each.to_dict() for each in reports]} if files else {}
        print(to_json(result, **more))
    elif not result.is_empty:
        print(report(result))
        if reports:
            _print_reports(reports)
    if result.is_empty:
        return NOT_COMPARED
    is_good = result.equal and all(each.score.is_consistent for each in reports)
    return EQUAL if is_good else DIFFERENT


def _print_reports(reports: Sequence[KlineReport]) -> None:
    screen = console()
    screen.print()
    screen.print(_score_table(reports))
    for each in reports:
        name = f"{each.exchange} {each.symbol} {each.timeframe}"
        if each.open:
            screen.print(f"{name}: {each.open:,} rows were not finished and are left out")
        if each.score.fields:
            counts = ", ".join(f"{field} {n:,}" for field, n in each.score.fields.items())
            screen.print(f"{name} differ in: {counts}", highlight=False)
        for example in each.score.examples:
            screen.print(_example_line(name, example), highlight=False)


def _score_table(reports: Sequence[KlineReport]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Candles of the exchange", title_justify="left")
    table.add_column("market")
    for name in _COLUMNS.values():
        table.add_column(name, justify="right")
    for each in reports:
        counts = (f"{getattr(each.score, name):,}" for name in _COLUMNS)
        table.add_row(f"{each.exchange} {each.symbol} {each.timeframe}", *counts)
    return table


def _example_line(name: str, example: dict[str, object]) -> str:
    text = f"  {name} {example['window_start']}: {example['problem']}"
    fields = example.get("fields")
    if isinstance(fields, dict):
        text += f" ({example['status']})"
        for field, values in fields.items():
            text += f"\n    {field}: ours {values['ours']}, theirs {values['theirs']}"
    return text
