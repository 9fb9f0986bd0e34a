"""What a person sees of a run: its progress, and the summary at its end."""

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
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from candlewax.core.schema import KIND_CONTROL, KIND_DEAD
from candlewax.runtime.counters import Counters
from candlewax.runtime.exit_reasons import explain_output_error
from candlewax.verification.verify import Verification

_BLINK: Final = 0.2
_LINE: Final = 5.0
"""Seconds between two looks at a terminal, and between two plain lines."""

_log: Final = logging.getLogger("candlewax")

NEXT: Final = (
    (".venv/bin/candlewax sql 'SELECT * FROM ohlcv_1h LIMIT 5'", "ask for candles"),
    (".venv/bin/candlewax sql 'SELECT * FROM dead_letters'", "what could not be read, and why"),
    (".venv/bin/candlewax verify", "compute every candle again and compare"),
    ("CANDLEWAX_FEED=log.tsv.gz make run", "replay recorded frames of your own"),
)


class _Console(Console):
    """A console whose reader may go away: its errors are those of any other output."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - Rich calls this while it handles the error


def console() -> Console:
    """Where to print: a terminal as it is, anything else wide enough for the tables."""
    found = _Console()
    return found if found.is_terminal else _Console(width=100)


class _RunOutput:
    """The standard output of a run, which goes on storing when nothing can be printed."""

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
            # Else the interpreter tries again at its end.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def run_console() -> Console:
    """Return the console of a run: if its output fails, that is logged and the run goes on."""
    stream = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the run
    file = cast("IO[str]", _RunOutput(stream))
    found = _Console(file=file)
    return found if found.is_terminal else _Console(file=file, width=100)


class ReplayProgress:
    """Shows how far a run is: a bar on a terminal, else a line now and then."""

    def __init__(self, console: Console, tally: Counters, size: int) -> None:
        self._console = console
        self._tally = tally
        self._size = max(size, 1)
        self._began = time.monotonic()
        self._done = threading.Event()
        show = self._show_bar if console.is_terminal else self._show_lines
        self._thread = threading.Thread(target=show, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> float:
        """Show no more; the seconds since the start."""
        self._done.set()
        self._thread.join()
        return time.monotonic() - self._began

    def _show_bar(self) -> None:
        columns = (
            TextColumn("reading"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task("", total=self._size, text="")
            while not self._done.wait(_BLINK):
                progress.update(task, completed=self._tally.bytes_read, text=self._text())

    def _show_lines(self) -> None:
        while not self._done.wait(_LINE):
            share = self._tally.bytes_read / self._size
            self._console.print(f"{share:4.0%} read · {self._text()}", highlight=False)

    def _text(self) -> str:
        frames, trades = self._tally.total("frames"), self._tally.total("trades")
        rate = trades / (time.monotonic() - self._began)
        return f"{frames:,} frames · {trades:,} trades · {rate:,.0f} trades/s"


class Summary:
    """Prints what a run did and what the tables hold."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def feed(self, title: str, tally: Counters) -> None:
        """What came, for each exchange."""
        self._console.print(f"\n[bold]Candlewax[/]  {title}\n", highlight=False)
        table = _table("exchange", "frames", "control", "dead", "trades", "repeats", "out of order")
        for exchange in sorted({key[1] for key in tally.counts if key[0] == "frames"}):
            table.add_row(
                exchange,
                *(
                    f"{tally.total(*name):,}"
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
        for (what, exchange, *_), count in sorted(tally.counts.items()):
            if what == "skipped":
                self._say(
                    "skipped", f"{count:,} frames of {exchange}, which is not among the exchanges"
                )
        self._say("dead letters", _reasons(tally))
        for (what, exchange, *condition), count in sorted(tally.counts.items()):
            if what == "unknown_conditions":
                self._say(
                    "conditions",
                    f"[yellow]{count:,} trades of {exchange} carry {condition[0]!r}, whose meaning "
                    "is not known: stored, kept out of candles[/]",
                )

    def candles(
        self, counts: Sequence[tuple[str, int, int]], latest: Sequence[dict[str, Any]]
    ) -> None:
        """How many candles there are, and the last ones."""
        table = _table("", *(name for name, _, _ in counts))
        table.add_row("closed", *(f"{closed:,}" for _, closed, _ in counts))
        table.add_row("forming", *(f"{forming:,}" for _, _, forming in counts))
        self._console.print("\n[bold]Candles[/] in the tables")
        self._console.print(table)
        if latest:
            self._console.print("\n[bold]The last hour[/] of the busiest markets")
            self._console.print(_latest(latest))

    def check(self, check: Verification, books: Sequence[str]) -> None:
        """What the cross-check found, and whether the tables add up."""
        self._console.print()
        self._say("cross-check", _check(check))
        for line in books:
            self._say("books", f"[red]{line}[/]")
        if not books:
            self._say("books", "frames, trades and dead letters add up")

    def outcome(self, tally: Counters, seconds: float, *, changed: bool) -> None:
        """The speed, and whether anything is new."""
        frames = tally.total("frames")
        rate = f"{frames:,} frames in {seconds:.1f} s: {frames / seconds:,.0f} a second"
        self._say("rate", rate)
        if not changed:
            self._say("news", "[bold]none: all of this was stored before, nothing changed[/]")

    def next(self) -> None:
        """What to try next."""
        self._console.print("\n[bold]Try next[/]")
        for command, what in NEXT:
            self._console.print(f"  {what}\n    [cyan]{command}[/]", highlight=False)

    def _say(self, subject: str, text: str) -> None:
        self._console.print(f"  [dim]{subject:<13}[/]{text}", highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def _reasons(tally: Counters) -> str:
    reasons: Counter[str] = Counter()
    for key, count in tally.counts.items():
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
    """A decimal without the zeros at its end."""
    text = f"{amount:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _check(check: Verification) -> str:
    if not check.equal:
        return f"[bold red]{check.differences:,} differences: candlewax verify names them[/]"
    return f"[green]all {check.candles:,} candles equal those that SQL computes by itself[/]"
