"""The command `candlewax verify`: is what is stored right?"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from candlewax.cli.common import database, exit_on_error
from candlewax.core import instruments
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.reports.summary import console
from candlewax.runtime import settings
from candlewax.verification.frame_check import SETTLE_S
from candlewax.verification.kline_files import KlineReport, Market, board
from candlewax.verification.verify import report, to_json, verify

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
    """Add the command to the others."""
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
    said = Market(arguments.exchange, arguments.symbol, arguments.timeframe)
    chosen = exit_on_error(NOT_COMPARED, settings.load)
    known = exit_on_error(NOT_COMPARED, lambda: instruments.load(chosen.instruments))
    with closing(database(NOT_COMPARED)) as tables:
        boards = exit_on_error(
            NOT_COMPARED, lambda: [board(tables, known, path, said) for path in files]
        )
        settle_s = () if tables.is_embedded else SETTLE_S
        found = exit_on_error(NOT_COMPARED, lambda: verify(tables.client, settle_s))
    if found.is_empty:
        place = f"{chosen.clickhouse}, database {chosen.database}"
        print(f"candlewax: nothing to verify in {place}", file=sys.stderr)
    if arguments.json:
        more = {"exchange_candles": [one.plain() for one in boards]} if files else {}
        print(to_json(found, **more))
    elif not found.is_empty:
        print(report(found))
        if boards:
            _show(boards)
    if found.is_empty:
        return NOT_COMPARED
    good = found.equal and all(one.score.good for one in boards)
    return EQUAL if good else DIFFERENT


def _show(boards: Sequence[KlineReport]) -> None:
    screen = console()
    screen.print()
    screen.print(_scores(boards))
    for one in boards:
        name = f"{one.exchange} {one.symbol} {one.timeframe}"
        if one.open:
            screen.print(f"{name}: {one.open:,} rows were not finished and are left out")
        if one.score.fields:
            counts = ", ".join(f"{field} {n:,}" for field, n in one.score.fields.items())
            screen.print(f"{name} differ in: {counts}", highlight=False)
        for example in one.score.examples:
            screen.print(_line(name, example), highlight=False)


def _scores(boards: Sequence[KlineReport]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Candles of the exchange", title_justify="left")
    table.add_column("market")
    for name in _COLUMNS.values():
        table.add_column(name, justify="right")
    for one in boards:
        counts = (f"{getattr(one.score, name):,}" for name in _COLUMNS)
        table.add_row(f"{one.exchange} {one.symbol} {one.timeframe}", *counts)
    return table


def _line(name: str, example: dict[str, object]) -> str:
    text = f"  {name} {example['window_start']}: {example['problem']}"
    fields = example.get("fields")
    if isinstance(fields, dict):
        text += f" ({example['status']})"
        for field, values in fields.items():
            text += f"\n    {field}: ours {values['ours']}, theirs {values['theirs']}"
    return text
