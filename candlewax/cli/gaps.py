"""Command `candlewax gaps`: lists missing trades."""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
from rich import box
from rich.table import Table

from candlewax.cli.common import CommandError, exit_on_error, open_for_reading, parse_cli_time
from candlewax.clickhouse.client import Database
from candlewax.core.gaps.fill_plan import MAX_GAP_NUMBERS, remove_numbers
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.reports.summary import console

CLOSED, OPEN, NOT_READ = 0, 1, 2
"""Exit statuses: none of the gaps listed is open or unrepairable; some are; could not look."""

STATES: Final = ("open", "repairing", "unrepairable", "repaired")

DEFAULT_LIMIT: Final = 100
"""Default number of gaps listed in a table."""

# Empty lists and the widest span stand for no filter.
_FILTER: Final = """
FROM gaps FINAL
WHERE (empty({exchanges:Array(String)}) OR exchange IN {exchanges:Array(String)})
    AND (empty({symbols:Array(String)}) OR symbol IN {symbols:Array(String)})
    AND (empty({states:Array(String)}) OR toString(state) IN {states:Array(String)})
    AND after >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND before < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
"""

_LIST: Final = f"""
SELECT exchange, symbol, first_sequence, last_sequence, count, missing, before, after, connection,
    detected_at, toString(state) AS state, reason, attempts, updated_at
{_FILTER}
ORDER BY exchange, symbol, first_sequence
LIMIT {{limit:UInt64}}
"""

_TOTALS: Final = f"""
SELECT toString(state) AS state, count() AS gaps, sum(count) AS numbers, sum(missing) AS missing
{_FILTER}
GROUP BY state
"""

_REASONS: Final = f"""
SELECT reason, count() AS gaps, max(count) AS longest, countIf(state = 'unrepairable') AS given_up
{_FILTER}
    AND missing > 0 AND reason IS NOT NULL AND reason != ''
GROUP BY reason
ORDER BY gaps DESC, reason
"""

_MARKETS: Final = """
SELECT DISTINCT symbol FROM
(
    SELECT symbol FROM gaps
    UNION ALL
    SELECT symbol FROM ohlcv WHERE timeframe = '1d'
)
WHERE symbol IN {symbols:Array(String)}
"""

_WIDEST: Final = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2299, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class GapFilter:
    """Filter of gaps: empty fields match all; the time matches gaps that may hold a trade in it."""

    exchanges: Sequence[str] = ()
    symbols: Sequence[str] = ()
    states: Sequence[str] = ()
    since: datetime = _WIDEST[0]
    until: datetime = _WIDEST[1]

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the queries."""
        return {
            "exchanges": list(self.exchanges),
            "symbols": list(self.symbols),
            "states": list(self.states),
            "since": _to_us(self.since),
            "until": _to_us(self.until),
        }


@dataclass(frozen=True)
class Gaps:
    """Gaps that match a filter.

    `rows` holds them up to the limit. `totals` holds by state the number of gaps, of numbers they
    were detected with, and of numbers still missing. `reasons` holds each reason with its number of
    gaps, the length of the longest, and the number given up.
    """

    rows: pl.DataFrame
    totals: dict[str, tuple[int, int, int]]
    reasons: pl.DataFrame

    @property
    def count(self) -> int:
        """Return the number of gaps that match."""
        return sum(gaps for gaps, _, _ in self.totals.values())

    @property
    def is_repaired(self) -> bool:
        """Return True if all of them are repaired."""
        return not self.totals.keys() - {"repaired"}


def read_gaps(tables: Database, gap_filter: GapFilter, limit: int | None = None) -> Gaps:
    """Read the gaps that match. Raises CommandError if a market is unknown."""
    if gap_filter.symbols:
        stored = tables.query(_MARKETS, {"symbols": list(gap_filter.symbols)})["symbol"].to_list()
        for symbol in gap_filter.symbols:
            if symbol not in stored:
                raise CommandError(f"--symbol: nothing is stored of {symbol!r}, as BTC/USDT")
    parameters = gap_filter.parameters()
    limit_rows = 2**63 - 1 if limit is None else limit
    rows = tables.query(_LIST, {**parameters, "limit": limit_rows})
    totals = {
        state: (gaps, numbers, missing)
        for state, gaps, numbers, missing in tables.query(_TOTALS, parameters).rows()
    }
    return Gaps(rows, totals, tables.query(_REASONS, parameters))


def json_lines(gaps: Gaps) -> Iterator[str]:
    """Yield a line of JSON for each gap, and a last one with the totals."""
    for row in gaps.rows.iter_rows(named=True):
        yield json.dumps(
            {name: _to_json_value(value) for name, value in row.items()}, ensure_ascii=False
        )
    totals = {
        state: dict(
            zip(("gaps", "numbers", "missing"), gaps.totals.get(state, (0, 0, 0)), strict=True)
        )
        for state in STATES
    }
    yield json.dumps({"totals": totals})


def table(gaps: Gaps) -> Table:
    """Return the gaps as a table."""
    output = Table(box=box.SIMPLE_HEAD)
    for name in ("market", "first number", "missing", "when (UTC)", "state"):
        right = name in {"first number", "missing"}
        # On a narrow terminal the words of the other columns go on in the next line.
        output.add_column(name, justify="right" if right else "left", no_wrap=right)
    for row in gaps.rows.iter_rows(named=True):
        output.add_row(
            f"{row['exchange']} {row['symbol']}",
            str(row["first_sequence"]),
            f"{row['missing']:,} of {row['count']:,}",
            _span(row["before"], row["after"]),
            row["state"] + _tries(row["attempts"]),
        )
    return output


def _tries(count: int) -> str:
    return f", {count:,} {'try' if count == 1 else 'tries'}" if count else ""


def _span(before: datetime, after: datetime) -> str:
    return f"{before:%Y-%m-%d %H:%M:%S} +{(after - before).total_seconds():,.0f}\N{NO-BREAK SPACE}s"


def reasons(gaps: Gaps) -> Iterator[str]:
    """Yield the reasons why gaps are not repaired, then advice.

    Reasons that differ only in their numbers are one line.
    """
    texts: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for text, count in gaps.reasons.select("reason", "gaps").iter_rows():
        # An earlier version wrote advice into the reason.
        reason = str(text).partition("; candlewax backfill")[0]
        texts.setdefault(remove_numbers(reason), []).append(reason)
        counts[remove_numbers(reason)] += count
    for sentence, count in counts.most_common():
        is_same = len(set(texts[sentence])) == 1
        yield f"{count:,} not repaired: {texts[sentence][0] if is_same else sentence}"
    yield from _advice(gaps.reasons)


def _advice(reasons: pl.DataFrame) -> Iterator[str]:
    """Return the advice for gaps that were given up; long ones get no command to copy."""
    given_up = reasons.filter(pl.col("given_up") > 0)
    if not given_up.filter(pl.col("longest") <= MAX_GAP_NUMBERS).is_empty():
        yield "candlewax repair --again requests the given-up gaps again"
    if not given_up.filter(pl.col("longest") > MAX_GAP_NUMBERS).is_empty():
        yield (
            f"of more than {MAX_GAP_NUMBERS:,} numbers: the exchange has probably skipped these "
            "numbers; if not, candlewax repair --first NUMBER requests one gap"
        )


def summary(gaps: Gaps) -> str:
    """Return the totals as a line."""
    if not gaps.totals:
        return "No gaps."
    parts = [
        f"{gaps.totals[state][0]:,} {state} ({gaps.totals[state][2]:,} missing)"
        for state in STATES
        if state in gaps.totals
    ]
    return f"{gaps.count:,} gaps: {', '.join(parts)}"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "gaps",
        help="list missing trades by the numbers of the exchanges; exit 0: no gap is open, "
        "1: some are open or cannot be repaired, 2: could not look",
    )
    for name, choices, description in (
        ("--exchange", EXCHANGES, "only of this exchange"),
        ("--symbol", None, "only of this market, unified, as BTC/USDT"),
        ("--state", STATES, "only those in this state"),
    ):
        text = f"{description}; may come several times"
        command.add_argument(name, choices=choices, action="append", default=[], help=text)
    command.add_argument(
        "--since",
        type=parse_cli_time,
        default=_WIDEST[0],
        help="gaps that may hold trades from then on",
    )
    command.add_argument(
        "--until",
        type=parse_cli_time,
        default=_WIDEST[1],
        help="gaps that may hold trades before then",
    )
    command.add_argument(
        "--limit", type=_parse_limit, help=f"how many to list (a table: {DEFAULT_LIMIT})"
    )
    command.add_argument("--json", action="store_true", help="a line of JSON for each")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    gap_filter = GapFilter(
        arguments.exchange, arguments.symbol, arguments.state, arguments.since, arguments.until
    )
    limit = arguments.limit
    if limit is None and not arguments.json:
        limit = DEFAULT_LIMIT
    with closing(open_for_reading(NOT_READ)) as tables:
        gaps = exit_on_error(NOT_READ, lambda: read_gaps(tables, gap_filter, limit))
    if arguments.json:
        for line in json_lines(gaps):
            print(line)
    else:
        screen = console()
        if gaps.rows.height:
            screen.print(table(gaps))
        for line in reasons(gaps):
            screen.print(line, highlight=False, markup=False, soft_wrap=True)
        if gaps.rows.height < gaps.count:
            screen.print(f"… the first {gaps.rows.height:,} of {gaps.count:,}; --limit lists more")
        screen.print(summary(gaps), highlight=False)
    return CLOSED if gaps.is_repaired else OPEN


def _parse_limit(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"got {text!r}, takes a whole number")
    return int(text)


def _to_us(time: datetime) -> int:
    return int((time - _WIDEST[0]).total_seconds()) * 1_000_000 + time.microsecond


def _to_json_value(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
