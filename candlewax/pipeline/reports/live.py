"""Terminal report of a live feed: current candles and counts."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from candlewax.clickhouse import overview
from candlewax.clickhouse.client import Database
from candlewax.pipeline.reports.candle_table import (
    Page,
    Screen,
    choose_columns,
    choose_page,
    join_status,
    render,
    to_row,
)
from candlewax.pipeline.reports.page_keys import PageKeys
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import has_failed

_TERMINAL_S: Final = 1.0
_PLAIN_S: Final = 10.0
"""Seconds between two updates: on a terminal, and where each is printed."""

_TROUBLES: Final = {"duplicates": 7, "dead_letters": 1, "lost": 1}
"""Counts that are shown unless they are 0, with their ranks in the status."""


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
        self._keys: PageKeys | None = None
        show = self._show_live if console.is_terminal else self._show_lines
        self._thread = threading.Thread(target=show, name="live-report", daemon=True)
        self._started_at = time.monotonic()
        self._last_close: dict[str, Any] = {}
        self._page_number = 0

    def begin(self) -> None:
        """Start the thread that shows the report."""
        self._console.print(self._title, highlight=False)
        self._started_at = time.monotonic()
        if self._console.is_terminal:
            self._keys = PageKeys()
        self._thread.start()

    def end(self) -> None:
        """Stop, and print how the run ended. Only the first call has an effect."""
        if self._done.is_set():
            return
        self._done.set()
        if self._keys:
            self._keys.wake()
        self._thread.join()
        if has_failed():
            # The error itself is printed last, by the caller.
            self._console.print("Ended by a failure; not all that was received is stored.")
            return
        outcome = "Stopped as asked" if self._was_stopped() else "The feed has ended"
        self._console.print(f"{outcome}; all data received is stored.", highlight=False)

    def _show_live(self) -> None:
        assert self._keys is not None  # noqa: S101 - begin makes them
        with self._keys as keys, self._live() as live:
            candles: list[dict[str, Any]] = []
            drawn: Screen | None = None
            read_at = time.monotonic() + _TERMINAL_S
            while (steps := keys.wait(read_at - time.monotonic())) is not None:
                self._page_number += steps
                if not steps:
                    # A key turns to what was read before: it shows at once.
                    candles = self._read()
                    read_at = time.monotonic() + _TERMINAL_S
                screen = Screen(*self._console.size)
                if drawn and screen != drawn:
                    # The terminal has wrapped or moved the lines that were drawn.
                    self._console.clear()
                drawn = screen
                live.update(self._render(candles, screen), refresh=True)

    def _live(self) -> Live:
        return Live(console=self._console, auto_refresh=False, transient=False)

    def _show_lines(self) -> None:
        while not self._done.wait(_PLAIN_S):
            self._console.print(self._render(self._read(), None), soft_wrap=True)

    def _read(self) -> list[dict[str, Any]]:
        # A failure to store ends the dataflow, which reports it.
        with suppress(RuntimeError):
            self.before_query()
        return overview.read_latest_minutes(self._database)

    def _render(self, candles: list[dict[str, Any]], screen: Screen | None) -> Text:
        """Return the lines for a screen, or with None those of all markets."""
        rows = [to_row(candle) for candle in candles]
        width, page = None, Page(0, len(rows), len(rows))
        if screen:
            width = screen.width
            page, self._page_number = choose_page(len(rows), screen.rows, self._page_number)
        # The same columns on each page.
        widths = choose_columns(rows, width)
        styles = [
            self._style(row["market"], candle["close"])
            for row, candle in zip(rows, candles, strict=True)
        ]
        shown = slice(page.begin, page.end)
        lines = render(rows[shown], styles[shown], widths)
        status = join_status(self._status_parts(page), width)
        return Text("\n", no_wrap=True).join([*lines, Text(status, style="dim")])

    def _style(self, market: str, close: Any) -> str:  # noqa: ANN401 - as the database has it
        last_close = self._last_close.get(market, close)
        self._last_close[market] = close
        return "green" if close > last_close else "red" if close < last_close else ""

    def _status_parts(self, page: Page) -> list[tuple[int, str]]:
        """Return the parts of the status, each with its rank: the highest is left out first."""
        seconds = max(time.monotonic() - self._started_at, 0.001)
        total = self._counters.total
        counts = {name: total(name) for name in ("frames", "trades", *_TROUBLES)}
        rate = counts["trades"] / seconds
        turns = "n next, p previous" if str(page) and self._keys and self._keys.are_read else ""
        troubles = [
            (rank, f"{counts[name]:,} {name.replace('_', ' ')}" if counts[name] else "")
            for name, rank in _TROUBLES.items()
        ]
        return [
            (0, str(page)),
            (2, turns),
            (6, f"{counts['frames']:,} frames"),
            (1, f"{counts['trades']:,} trades"),
            *troubles,
            (4, f"{rate:,.1f} trades/s"),
            (5, f"{seconds:,.0f} s"),
            (3, "Ctrl-C ends it"),
        ]
