"""Candles as they move, in the terminal."""

import threading
import time
from collections.abc import Callable
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

_EVERY: Final = 1.0
_LINES: Final = 10.0
"""Seconds between two looks at the tables: on a terminal, and where each is printed."""


class LiveReport:
    """Shows the last one-minute candle of each market, and what came so far."""

    def __init__(
        self,
        what: str,
        console: Console,
        tally: Counters,
        database: Database,
        stopped: Callable[[], bool],
    ) -> None:
        self._what = what
        self._console = console
        self._tally = tally
        self._database = database
        self._stopped = stopped
        self._done = threading.Event()
        show = self._show_live if console.is_terminal else self._show_lines
        self._thread = threading.Thread(target=show, name="board", daemon=True)
        self._began = time.monotonic()
        self._before: dict[tuple[str, str], Any] = {}

    def begin(self) -> None:
        """Begin to show."""
        self._console.print(self._what, highlight=False)
        self._began = time.monotonic()
        self._thread.start()

    def end(self) -> None:
        """Show no more, once however many parts end."""
        if self._done.is_set():
            return
        self._done.set()
        self._thread.join()
        if has_failed():
            # What failed is said by the error, last.
            self._console.print("Ended by a failure; not all that was received is stored.")
            return
        why = "Stopped as asked" if self._stopped() else "The feed has ended"
        self._console.print(f"{why}; what was received is stored.", highlight=False)

    def _show_live(self) -> None:
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            while not self._done.wait(_EVERY):
                live.update(self._picture(), refresh=True)

    def _show_lines(self) -> None:
        while not self._done.wait(_LINES):
            self._console.print(self._picture())

    def _picture(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("market", "minute", "open", "high", "low", "close", "volume", "trades", ""):
            table.add_column(name, justify="left" if name == "market" else "right", no_wrap=True)
        for candle in overview.read_latest_minutes(self._database):
            table.add_row(*self._row(candle))
        return Group(table, Text(self._line(), style="dim"))

    def _row(self, candle: dict[str, Any]) -> list[str]:
        market = (candle["exchange"], candle["symbol"])
        close, before = candle["close"], self._before.get(market, candle["close"])
        self._before[market] = close
        colour = "green" if close > before else "red" if close < before else "none"
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

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._began, 0.001)
        names = ("frames", "trades", "duplicates", "dead_letters", "lost")
        counts = [(name.replace("_", " "), self._tally.total(name)) for name in names]
        shown = [f"{count:,} {name}" for name, count in counts if count or name == "frames"]
        rate = self._tally.total("trades") / seconds
        return " · ".join([*shown, f"{rate:,.1f} trades/s", f"{seconds:,.0f} s", "Ctrl-C ends it"])
