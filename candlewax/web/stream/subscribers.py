"""Subscribers of the event stream, and the events sent to all of them."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
import polars as pl

from candlewax.runtime.clocks import steady_clock
from candlewax.web import encode
from candlewax.web.connection_limits import most_streams
from candlewax.web.problem import Problem
from candlewax.web.queries import Series
from candlewax.web.stream.client import StreamClient
from candlewax.web.stream.feed_status import FeedReporter

MARKET: Final = ("exchange", "symbol")

ReadReport = Callable[[], dict[str, Any] | None]
"""Returns a report of JSON values; None while there is none."""


class LastTrade(NamedTuple):
    """The last trade of a market that is known."""

    time: datetime
    price: Decimal


class _Close(msgspec.Struct):
    close: str


_decode_close: Final = msgspec.json.Decoder(_Close).decode


class Subscribers:
    """Pages that watch, and their events. Used in the server's event loop only."""

    def __init__(self, feeds: FeedReporter, cross_check: ReadReport | None = None) -> None:
        """`cross_check` returns the last cross-check of this process, if it makes any."""
        self._feeds = feeds
        self._cross_check = cross_check
        self._clients: set[StreamClient] = set()
        self._exchanges: frozenset[str] = frozenset()
        self._watched_markets: frozenset[tuple[str, str]] = frozenset()
        self._away_reason: str | None = None
        self._days: dict[tuple[str, str], tuple[datetime, bytes]] = {}
        self._changed_markets: set[tuple[str, str]] = set()
        self._news = asyncio.Event()
        self._has_ended = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, client: StreamClient) -> None:
        """Add a page. Raises Problem if there are too many."""
        most = most_streams()
        if self._has_ended or len(self._clients) >= most:
            raise Problem(503, "too_many", f"no more than {most} pages at a time")
        self._clients.add(client)
        self._note_watched()
        for market, (_, line) in self._days.items():
            client.put_ticker(market, line)
        client.put_health(self.health())
        if self._away_reason is not None:
            client.put_database(_database_event(self._away_reason))
        # Without pages the wait between two rounds is long: end it.
        self._news.set()

    def remove(self, client: StreamClient) -> None:
        """Remove a page."""
        self._clients.discard(client)
        self._note_watched()

    def _note_watched(self) -> None:
        self._exchanges = frozenset(series.exchange for series in self.watched_series)
        self._watched_markets = frozenset(series[:2] for series in self.watched_series)

    def health(self) -> bytes:
        """Return the status of feeds, database and cross-check as JSON."""
        report = self._feeds.report(steady_clock())
        report["database"] = "there" if self._away_reason is None else "away"
        if self._away_reason is not None:
            report["status"] = "degraded"
        if self._cross_check:
            report["cross_check"] = self._cross_check()
        report.setdefault("cross_check", None)
        return msgspec.json.encode(report)

    @property
    def markets(self) -> set[tuple[str, str]]:
        """Return the markets that have a day candle."""
        return set(self._days)

    def has_market(self, market: tuple[str, str]) -> bool:
        """Return whether a market has a day candle."""
        return market in self._days

    def last_trades(self) -> dict[tuple[str, str], LastTrade]:
        """Return time and price of the last trade of each market that has a day candle."""
        return {
            market: LastTrade(time, Decimal(_decode_close(line).close))
            for market, (time, line) in self._days.items()
        }

    def update_days(self, rows: pl.DataFrame) -> None:
        """Update the last day candle of markets from rows of candles."""
        if rows.is_empty():
            return
        tickers = rows.select(
            *(pl.col(name).cast(pl.String) for name in MARKET),
            "open", "close", "volume", "trade_count", pl.col("close_time").alias("time"),
        )  # fmt: skip
        keys = tickers.select(MARKET).rows()
        for market, end, line in zip(keys, tickers["time"], encode.lines(tickers), strict=True):
            last_end, last_line = self._days.get(market, (end, b""))
            # Late trades also change past days.
            if line != last_line and end >= last_end:
                self._days[market] = (end, line)
                self._changed_markets.add(market)

    @property
    def watched_series(self) -> set[Series]:
        """Return the series that pages watch."""
        return {client.series for client in self._clients}

    def send_candles(self, series: Series, lines: Iterable[tuple[int, bytes]]) -> None:
        """Queue changed candles of a series: start and JSON."""
        for start, line in lines:
            for client in self._clients:
                if client.series == series:
                    client.put_candle(start, line)

    def send_trades(self, market: tuple[str, str], lines: list[bytes], received_us: int) -> None:
        """Queue new trades of a market as JSON, and the last receive time."""
        for client in self._clients:
            if client.series[:2] == market:
                client.put_trades(lines)
                client.note_received(received_us)

    def send_tickers(self) -> None:
        """Queue the day candles that changed."""
        for market in self._changed_markets:
            for client in self._clients:
                client.put_ticker(market, self._days[market][1])
        self._changed_markets.clear()

    def send_health(self) -> None:
        """Queue the status of feeds and database."""
        if self._clients:
            health = self.health()
            for client in self._clients:
                client.put_health(health)

    def send_database(self, away_reason: str | None) -> None:
        """Queue why the database is away; None if it is there.

        When it is back, all pages read again, as rows stored meanwhile were not sent.
        """
        if away_reason == self._away_reason:
            return
        was_away, self._away_reason = self._away_reason is not None, away_reason
        for client in self._clients:
            client.put_database(_database_event(away_reason))
        if was_away and away_reason is None:
            self.reset()
        self.send_health()

    def reset(self) -> None:
        """Make all pages read again, as changes were missed."""
        for client in self._clients:
            client.reset()

    def attach_loop(self) -> asyncio.AbstractEventLoop:
        """Store and return the running loop; must be called in it before `end`."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    def catch_up(self) -> None:
        """Send changes known so far, before a request is answered; here there are none."""

    def end(self) -> None:
        """End all streams, from any thread, and refuse new ones."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._has_ended = True
        for client in self._clients:
            client.end()


def _database_event(away_reason: str | None) -> bytes:
    state = "there" if away_reason is None else "away"
    return msgspec.json.encode({"state": state, "message": away_reason})
