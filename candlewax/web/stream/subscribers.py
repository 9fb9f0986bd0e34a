"""The pages that watch, and what each is told."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
import polars as pl

from candlewax.runtime.clocks import steady_clock
from candlewax.web import encode
from candlewax.web.connection_limits import most_streams
from candlewax.web.problem import Problem
from candlewax.web.queries import Series
from candlewax.web.stream.client import Viewer
from candlewax.web.stream.feed_status import Reports

MARKET: Final = ("exchange", "symbol")

Report = Callable[[], dict[str, Any] | None]
"""Gives a report as JSON can say it; None as long as there is none."""


class Viewers:
    """The pages that watch, and what each is told; all of it runs in the server's loop."""

    def __init__(self, feeds: Reports, cross_check: Report | None = None) -> None:
        """`cross_check` gives the last result of this process's cross-check, if it makes one."""
        self._reports = feeds
        self._cross_check = cross_check
        self._viewers: set[Viewer] = set()
        self._exchanges: frozenset[str] = frozenset()
        self._away: str | None = None
        self._days: dict[tuple[str, str], tuple[datetime, bytes]] = {}
        self._moved: set[tuple[str, str]] = set()
        self._news = asyncio.Event()
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self, viewer: Viewer) -> None:
        """A page begins to watch. Raises Problem if there are too many."""
        most = most_streams()
        if self._ended or len(self._viewers) >= most:
            raise Problem(503, "too_many", f"no more than {most} pages at a time")
        self._viewers.add(viewer)
        self._exchanges = frozenset(series.exchange for series in self.watched)
        for market, (_, line) in self._days.items():
            viewer.ticker(market, line)
        viewer.health(self.health())
        if self._away is not None:
            viewer.database(_database(self._away))
        # The wait between two looks is a long one while nobody watches.
        self._news.set()

    def leave(self, viewer: Viewer) -> None:
        """A page watches no longer."""
        self._viewers.discard(viewer)
        self._exchanges = frozenset(series.exchange for series in self.watched)

    def health(self) -> bytes:
        """How the feeds and the database are, and what the cross-check found, as JSON."""
        report = self._reports.report(steady_clock())
        report["database"] = "there" if self._away is None else "away"
        if self._away is not None:
            report["status"] = "degraded"
        if self._cross_check:
            report["cross_check"] = self._cross_check()
        report.setdefault("cross_check", None)
        return msgspec.json.encode(report)

    @property
    def markets(self) -> set[tuple[str, str]]:
        """The markets that are known by what came."""
        return set(self._days)

    def days(self, rows: pl.DataFrame) -> None:
        """The last day's candle of each market, from the tables or as they come."""
        if rows.is_empty():
            return
        shown = rows.select(
            *(pl.col(name).cast(pl.String) for name in MARKET),
            "open", "close", "volume", "trade_count", pl.col("close_time").alias("time"),
        )  # fmt: skip
        keys = shown.select(MARKET).rows()
        for market, end, line in zip(keys, shown["time"], encode.lines(shown), strict=True):
            last, before = self._days.get(market, (end, b""))
            # Late trades change days that are over, too.
            if line != before and end >= last:
                self._days[market] = (end, line)
                self._moved.add(market)

    @property
    def watched(self) -> set[Series]:
        """What pages watch."""
        return {viewer.series for viewer in self._viewers}

    def tell_candles(self, series: Series, lines: Iterable[tuple[int, bytes]]) -> None:
        """Candles of a series changed: their starts and their JSON."""
        for start, line in lines:
            for viewer in self._viewers:
                if viewer.series == series:
                    viewer.candle(start, line)

    def tell_trades(self, market: tuple[str, str], lines: list[bytes], received: int) -> None:
        """Trades of a market were made, as JSON; the last was received then, here."""
        for viewer in self._viewers:
            if viewer.series[:2] == market:
                viewer.trades(lines)
                viewer.seen(received)

    def tell_tickers(self) -> None:
        """All markets' prices that moved."""
        for market in self._moved:
            for viewer in self._viewers:
                viewer.ticker(market, self._days[market][1])
        self._moved.clear()

    def tell_health(self) -> None:
        """How the feeds are."""
        if self._viewers:
            health = self.health()
            for viewer in self._viewers:
                viewer.health(health)

    def tell_database(self, away: str | None) -> None:
        """Why the database is away; None if it is there. When it is back all is read anew: what
        was stored meanwhile was told to nobody.
        """
        if away == self._away:
            return
        was_away, self._away = self._away is not None, away
        for viewer in self._viewers:
            viewer.database(_database(away))
        if was_away and away is None:
            self.reset()
        self.tell_health()

    def reset(self) -> None:
        """Something was missed: all pages read anew."""
        for viewer in self._viewers:
            viewer.reset()

    def begun(self) -> asyncio.AbstractEventLoop:
        """The server's loop, in which this is called first."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    def catch_up(self) -> None:
        """Take what is known to be stored by now, before a request is answered."""

    def end(self) -> None:
        """Send every page away, from any thread; none comes any more."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ended = True
        for viewer in self._viewers:
            viewer.end()


def _database(away: str | None) -> bytes:
    state = "there" if away is None else "away"
    return msgspec.json.encode({"state": state, "message": away})
