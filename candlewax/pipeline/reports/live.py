"""Terminal report of a live feed: current candles and counts."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from candlewax.clickhouse import overview
from candlewax.clickhouse.client import Database
from candlewax.pipeline.reports.summary import format_decimal
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import has_failed

_TERMINAL_S: Final = 1.0
_PLAIN_S: Final = 10.0
"""Seconds between two updates: on a terminal, and where each is printed."""


class LiveReport:
    """Report of the last one-minute candle of each market, and of the counts so far."""

    def __init__(
        self,
        title: str,
        console: Console,
        counters: Counters,
        database: Database,
        was_stopped: Callable[[], bool],
    ) -> None:
        self._title = title
        self._console = console
        self._counters = counters
        self._database = database
        self._was_stopped = was_stopped
        self.before_query: Callable[[], object] = lambda: None
        """Called before each query, so that it finds what was received."""
        self._done = threading.Event()
        show = self._show_live if console.is_terminal else self._show_lines
        self._thread = threading.Thread(target=show, name="live-report", daemon=True)
        self._started_at = time.monotonic()
        self._last_close: dict[tuple[str, str], Any] = {}

    def begin(self) -> None:
        """Start the thread that shows the report."""
        self._console.print(self._title, highlight=False)
        self._started_at = time.monotonic()
        self._thread.start()

    def end(self) -> None:
        """Stop, and print how the run ended. Only the first call has an effect."""
        if self._done.is_set():
            return
        self._done.set()
        self._thread.join()
        if has_failed():
            # The error itself is printed last, by the caller.
            self._console.print("Ended by a failure; not all that was received is stored.")
            return
        outcome = "Stopped as asked" if self._was_stopped() else "The feed has ended"
        self._console.print(f"{outcome}; all data received is stored.", highlight=False)

    def _show_live(self) -> None:
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            while not self._done.wait(_TERMINAL_S):
                live.update(self._render(), refresh=True)

    def _show_lines(self) -> None:
        while not self._done.wait(_PLAIN_S):
            self._console.print(self._render())

    def _render(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("market", "minute", "open", "high", "low", "close", "volume", "trades", ""):
            table.add_column(name, justify="left" if name == "market" else "right", no_wrap=True)
        # A failure to store ends the dataflow, which reports it.
        with suppress(RuntimeError):
            self.before_query()
        for candle in overview.read_latest_minutes(self._database):
            table.add_row(*self._cells(candle))
        return Group(table, Text(self._counts_line(), style="dim"))

    def _cells(self, candle: dict[str, Any]) -> list[str]:
        market = (candle["exchange"], candle["symbol"])
        close, last_close = candle["close"], self._last_close.get(market, candle["close"])
        self._last_close[market] = close
        colour = "green" if close > last_close else "red" if close < last_close else "none"
        open_, high, low, volume = (
            format_decimal(candle[n]) for n in ("open", "high", "low", "volume")
        )
        return [
            " ".join(market),
            f"{candle['minute']:%H:%M}",
            open_,
            high,
            low,
            f"[{colour}]{format_decimal(close)}[/]",
            volume,
            f"{candle['trade_count']:,}",
            "closed" if candle["closed"] else "forming",
        ]

    def _counts_line(self) -> str:
        seconds = max(time.monotonic() - self._started_at, 0.001)
        names = ("frames", "trades", "duplicates", "dead_letters", "lost")
        counts = [(name.replace("_", " "), self._counters.total(name)) for name in names]
        parts = [f"{count:,} {name}" for name, count in counts if count or name == "frames"]
        rate = self._counters.total("trades") / seconds
        return " · ".join([*parts, f"{rate:,.1f} trades/s", f"{seconds:,.0f} s", "Ctrl-C ends it"])
