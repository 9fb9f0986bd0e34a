"""Console output of a run: progress, and the summary at its end."""

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import IO, Any, Final, TextIO, cast

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from candlewax.core.schema import KIND_CONTROL, KIND_DEAD
from candlewax.runtime import installation
from candlewax.runtime.counters import Counters
from candlewax.runtime.exit_reasons import explain_output_error
from candlewax.verification.verify import Verification

_BAR_S: Final = 0.2
_LINE_S: Final = 5.0
"""Seconds between two updates on a terminal, and between two plain lines."""

_log: Final = logging.getLogger("candlewax")

NEXT_COMMANDS: Final = (
    ("{candlewax} sql 'SELECT * FROM ohlcv_1h LIMIT 5'", "query candles"),
    ("{candlewax} sql 'SELECT * FROM dead_letters'", "unreadable data, with reasons"),
    ("{candlewax} verify", "compute every candle again and compare"),
    ("CANDLEWAX_FEED=log.tsv.gz {run}", "replay recorded frames of your own"),
)


class _Console(Console):
    """Console that raises an error if its reader closes the pipe."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - Rich calls this while it handles the error


def console() -> Console:
    """Return a console; if it is no terminal, it is wide enough for the tables."""
    created = _Console()
    return created if created.is_terminal else _Console(width=100)


class _RunOutput:
    """Standard output of a run; if printing fails, that is logged once and the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failed = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the stream has it
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            action()
        except OSError as error:
            self._failed = True
            _log.warning("%s; the run goes on", explain_output_error(error))
            # Otherwise the interpreter flushes it again at exit and fails.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def run_console() -> Console:
    """Return the console of a run, whose failures are logged."""
    stream = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the run
    file = cast("IO[str]", _RunOutput(stream))
    created = _Console(file=file)
    return created if created.is_terminal else _Console(file=file, width=100)


class ReplayProgress:
    """Progress of a replay: a bar on a terminal, otherwise a line every few seconds."""

    def __init__(self, console: Console, counters: Counters, size: int) -> None:
        self._console = console
        self._counters = counters
        self._size = max(size, 1)
        self._started_at = time.monotonic()
        self._done = threading.Event()
        show = self._show_bar if console.is_terminal else self._show_lines
        self._thread = threading.Thread(target=show, name="progress", daemon=True)

    def start(self) -> None:
        """Start the thread that shows the progress."""
        self._started_at = time.monotonic()
        self._thread.start()

    def stop(self) -> float:
        """Stop. Return the seconds since the start."""
        self._done.set()
        self._thread.join()
        return time.monotonic() - self._started_at

    def _show_bar(self) -> None:
        columns = (
            TextColumn("reading"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task("", total=self._size, text="")
            while not self._done.wait(_BAR_S):
                progress.update(task, completed=self._counters.bytes_read, text=self._rate_text())

    def _show_lines(self) -> None:
        while not self._done.wait(_LINE_S):
            share = self._counters.bytes_read / self._size
            frames = self._counters.total("frames")
            text = f"{share:4.0%} read · {frames:,} frames · {self._rate_text()}"
            self._console.print(text, highlight=False)

    def _rate_text(self) -> str:
        trades = self._counters.total("trades")
        rate = trades / (time.monotonic() - self._started_at)
        return f"{trades:,} trades · {rate:,.0f} trades/s"


class Summary:
    """Summary of a run and of the tables."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def feed(self, title: str, counters: Counters) -> None:
        """Print the counts of the feed, for each exchange."""
        self._console.print(f"\n[bold]Candlewax[/]  {title}\n", highlight=False)
        table = _table("exchange", "frames", "control", "dead", "trades", "repeats", "out of order")
        for exchange in sorted({key[1] for key in counters.counts if key[0] == "frames"}):
            table.add_row(
                exchange,
                *(
                    f"{counters.total(*name):,}"
                    for name in (
                        ("frames", exchange),
                        ("frames", exchange, str(KIND_CONTROL)),
                        ("frames", exchange, str(KIND_DEAD)),
                        ("trades", exchange),
                        ("duplicates", exchange),
                        ("out_of_order", exchange),
                    )
                ),
            )
        self._console.print(table)
        for (name, exchange, *_), count in sorted(counters.counts.items()):
            if name == "skipped":
                self._print_line(
                    "skipped", f"{count:,} frames of {exchange}, which is not among the exchanges"
                )
        self._print_line("dead letters", _reasons(counters))
        for (name, exchange, *condition), count in sorted(counters.counts.items()):
            if name == "unknown_conditions":
                self._print_line(
                    "conditions",
                    f"[yellow]{count:,} trades of {exchange} carry {condition[0]!r}, whose meaning "
                    "is not known: stored, kept out of candles[/]",
                )

    def candles(
        self, counts: Sequence[tuple[str, int, int]], latest: Sequence[dict[str, Any]]
    ) -> None:
        """Print the number of candles, and the latest ones."""
        table = _table("", *(name for name, _, _ in counts))
        table.add_row("closed", *(f"{closed:,}" for _, closed, _ in counts))
        table.add_row("forming", *(f"{forming:,}" for _, _, forming in counts))
        self._console.print("\n[bold]Candles[/] in the tables")
        self._console.print(table)
        if latest:
            self._console.print("\n[bold]The last hour[/] of the busiest markets")
            self._console.print(_latest(latest))

    def check(self, verification: Verification, unbalanced: Sequence[str]) -> None:
        """Print the result of the cross-check, and totals that differ between tables."""
        self._console.print()
        self._print_line("cross-check", _check(verification))
        for line in unbalanced:
            self._print_line("books", f"[red]{line}[/]")
        if not unbalanced:
            self._print_line("books", "frames, trades and dead letters add up")

    def outcome(self, counters: Counters, seconds: float, *, changed: bool) -> None:
        """Print the rate, and whether anything new was stored."""
        frames = counters.total("frames")
        rate = f"{frames:,} frames in {seconds:.1f} s: {frames / seconds:,.0f} a second"
        self._print_line("rate", rate)
        if not changed:
            self._print_line(
                "news", "[bold]none: all of this was stored before, nothing changed[/]"
            )

    def next(self) -> None:
        """Print commands to try next."""
        self._console.print("\n[bold]Try next[/]")
        program, run = installation.command(), installation.dataflow_command("run")
        for form, description in NEXT_COMMANDS:
            command = form.format(candlewax=program, run=run)
            self._console.print(f"  {description}\n    [cyan]{command}[/]", highlight=False)

    def _print_line(self, subject: str, text: str) -> None:
        self._console.print(f"  [dim]{subject:<13}[/]{text}", highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def _reasons(counters: Counters) -> str:
    reasons: Counter[str] = Counter()
    for key, count in counters.counts.items():
        if key[0] == "dead_letters":
            reasons[key[-1]] += count
    if not reasons:
        return "none"
    parts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    return f"{reasons.total():,}: {parts}"


def _latest(candles: Sequence[dict[str, Any]]) -> Table:
    table = _table("market", "hour (UTC)", "high", "low", "close", "trades", "")
    for candle in candles:
        amounts = (candle[name] for name in ("high", "low", "close"))
        table.add_row(
            f"{candle['exchange']} {candle['symbol']}",
            f"{candle['hour']:%d %b %H:%M}",
            *map(format_decimal, amounts),
            f"{candle['trade_count']:,}",
            "closed" if candle["closed"] else "forming",
        )
    return table


def format_decimal(amount: Decimal) -> str:
    """Format a decimal without trailing zeros."""
    text = f"{amount:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _check(verification: Verification) -> str:
    if not verification.equal:
        return f"[bold red]{verification.differences:,} differences: candlewax verify names them[/]"
    return f"[green]all {verification.candles:,} candles equal those that SQL computes by itself[/]"
