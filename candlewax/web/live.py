"""What was stored, on its way to the pages: forty milliseconds of it at a time."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import polars as pl

from candlewax.batch import Batch
from candlewax.web import encode
from candlewax.web.feeds import Clock, Feeds
from candlewax.web.hub import Hub
from candlewax.web.problem import Problem
from candlewax.web.recent import Recent, encoded, named
from candlewax.web.store import Series
from candlewax.web.viewer import TAPE, Viewer

TICK: Final = 0.04
"""Seconds between two looks at what came while pages watch: 25 a second."""

IDLE: Final = 0.5
"""The same while none does."""

TICKERS: Final = 0.25
HEALTH: Final = 1.0
"""Seconds between two rounds of all markets' prices, and of how the feeds are."""

MOST_VIEWERS: Final = 32

_MARKET: Final = ("exchange", "symbol")


class Live:
    """Takes what was stored and gives each page what it watches.

    All of it runs in the server's loop; only the hub is shared with another thread.
    """

    def __init__(self, hub: Hub, recent: Recent, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.feeds = Feeds(self.clock)
        self.recent = recent
        self._hub = hub
        self._viewers: set[Viewer] = set()
        self._days: dict[tuple[str, str], bytes] = {}
        self._moved: set[tuple[str, str]] = set()
        self._news = asyncio.Event()
        self._ended = False
        self._told = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self, viewer: Viewer) -> None:
        """A page begins to watch. Raises Problem if there are too many."""
        if self._ended or len(self._viewers) >= MOST_VIEWERS:
            raise Problem(503, "too_many", f"no more than {MOST_VIEWERS} pages at a time")
        self._viewers.add(viewer)
        for market, line in self._days.items():
            viewer.ticker(market, line)
        viewer.health(self.health())
        # The wait between two looks is a long one while nobody watches.
        self._news.set()

    def leave(self, viewer: Viewer) -> None:
        """A page watches no longer."""
        self._viewers.discard(viewer)

    def health(self) -> bytes:
        """How the feeds are, as JSON."""
        return msgspec.json.encode(self.feeds.report(_now()))

    @property
    def markets(self) -> set[tuple[str, str]]:
        """The markets that are known by what came."""
        return set(self._days)

    def days(self, rows: pl.DataFrame) -> None:
        """The last day's candle of each market, from the tables or as they come."""
        if rows.is_empty():
            return
        shown = rows.select(
            *(pl.col(name).cast(pl.String) for name in _MARKET),
            "open", "close", "volume", "trade_count", pl.col("close_time").alias("time"),
        )  # fmt: skip
        keys = shown.select(_MARKET).rows()
        for market, line in zip(keys, encode.lines(shown), strict=True):
            self._days[market] = line
            self._moved.add(market)

    async def run(self) -> None:
        """Look, tell, wait; until cancelled."""
        self._loop = loop = asyncio.get_running_loop()
        self._hub.listen(lambda: _wake(loop, self._news))
        tickers = health = 0.0
        while True:
            await self._wait()
            self._tick()
            now = loop.time()
            if now - tickers >= TICKERS:
                tickers = now
                self._tell_tickers()
            if now - health >= HEALTH:
                health = now
                self.recent.settle()
                self._tell_health()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), IDLE)
        except TimeoutError:
            return
        self._news.clear()
        # What comes within this time is shown together.
        if not self._viewers:
            await asyncio.sleep(IDLE)
        elif (rest := self._told + TICK - time.monotonic()) > 0:
            await asyncio.sleep(rest)
        self._told = time.monotonic()

    def _tick(self) -> None:
        taken = self._hub.take()
        if taken.dropped:
            self.recent.clear()
            for viewer in self._viewers:
                viewer.reset()
        for stored, batch in taken.batches:
            self.feeds.learn(stored, batch)
        batches = [batch for _, batch in taken.batches]
        self.show(_candles(batches), batches)

    def show(self, rows: pl.DataFrame | None, batches: Sequence[Batch]) -> None:
        """Candles (`recent.named`) and trades that are new."""
        if rows is not None:
            self.recent.update(rows)
            days = rows.filter(pl.col("timeframe") == "1d")
            self.days(days.unique(_MARKET, keep="last", maintain_order=True))
            self._tell_candles(rows)
        if self._viewers:
            self._tell_trades(batches)

    def _tell_candles(self, rows: pl.DataFrame) -> None:
        for series in {viewer.series for viewer in self._viewers}:
            own = rows.filter(
                (pl.col("timeframe") == series.timeframe)
                & (pl.col("symbol") == series.symbol)
                & (pl.col("exchange") == series.exchange)
            )
            for _, start, line in encoded(own):
                for viewer in self._viewers:
                    if viewer.series == series:
                        viewer.candle(start, line)

    def _tell_trades(self, batches: Sequence[Batch]) -> None:
        for market in {viewer.series[:2] for viewer in self._viewers}:
            exchange, symbol = market
            own = [
                batch.trades.filter(pl.col("symbol") == symbol)
                for batch in batches
                if batch.exchange == exchange and batch.trades.height
            ]
            if not any(frame.height for frame in own):
                continue
            rows = pl.concat(own, how="diagonal").tail(TAPE)
            received = rows.select(pl.col("received_at").max().cast(pl.Int64)).item()
            lines = encode.lines(encode.trades(rows))
            for viewer in self._viewers:
                if viewer.series[:2] == market:
                    viewer.trades(lines)
                    viewer.seen(self.clock.wall(received))

    def _tell_tickers(self) -> None:
        for market in self._moved:
            for viewer in self._viewers:
                viewer.ticker(market, self._days[market])
        self._moved.clear()

    def _tell_health(self) -> None:
        if self._viewers:
            health = self.health()
            for viewer in self._viewers:
                viewer.health(health)

    def end(self) -> None:
        """Send every page away, from any thread; none comes any more."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ended = True
        for viewer in self._viewers:
            viewer.end()


def _candles(batches: Sequence[Batch]) -> pl.DataFrame | None:
    frames = [batch.tables["ohlcv"] for batch in batches if "ohlcv" in batch.tables]
    filled = [frame for frame in frames if frame.height]
    return named(pl.concat(filled, how="diagonal")) if filled else None


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(news.set)


def _now() -> int:
    return time.time_ns() // 1000
