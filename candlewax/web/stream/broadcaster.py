"""Broadcasting of batches from the pipeline to the pages.

Trades and forming candles are sent when they are handed to the writer, closed candles once they
are stored. With few frames all of that is rows: columns are made of them once a second, by the
writer, and of forming candles if an answer of the API needs them.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.web import encode
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Series
from candlewax.web.stream.announced import AnnouncedCandles, last_trades
from candlewax.web.stream.batch_queue import BatchQueue
from candlewax.web.stream.client import StreamClient
from candlewax.web.stream.feed_status import SECOND_US, Clock, LiveFeedStatus
from candlewax.web.stream.subscribers import LastTrade, ReadReport, Subscribers

TICK: Final = 0.04
"""Seconds between two broadcasts while pages watch: 25 per second."""

IDLE: Final = 0.5
"""Seconds between two rounds while no page watches."""

TICKERS: Final = 0.5
HEALTH: Final = 1.0
"""Seconds between two broadcasts of all markets' prices, and of the feeds' status."""


class Broadcaster(Subscribers):
    """Subscribers that are sent announced and stored batches of a pipeline in the same process.

    Only the queue is shared with another thread.
    """

    def __init__(
        self,
        queue: BatchQueue,
        cache: CandleCache,
        clock: Clock | None = None,
        cross_check: ReadReport | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.feeds = LiveFeedStatus(self.clock)
        super().__init__(self.feeds, cross_check)
        self.cache = cache
        self._queue = queue
        self._sent_at = 0.0
        self._unread: list[tuple[int, Batch]] = []
        self._announced = AnnouncedCandles()

    async def run(self) -> None:
        """Wait for batches and send them; until cancelled."""
        loop = self.attach_loop()
        self._queue.listen(lambda: _wake(loop, self._news), self.is_awaited)
        tickers = health = 0.0
        while True:
            await self._wait()
            self._send_news()
            now = loop.time()
            if self._clients and now - tickers >= TICKERS:
                tickers = now
                self._update_days()
                self.send_tickers()
            if now - health >= HEALTH:
                health = now
                self._update_slow()
                self.send_health()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), IDLE)
        except TimeoutError:
            return
        self._news.clear()
        # Batches of this time are sent together.
        if not self._clients:
            await asyncio.sleep(IDLE)
        elif (rest := self._sent_at + TICK - time.monotonic()) > 0:
            await asyncio.sleep(rest)
        self._sent_at = time.monotonic()

    def is_awaited(self, batch: AnyBatch, was_announced: bool) -> bool:  # noqa: FBT001 - an IsAwaited
        """Return whether a page waits for a batch. Thread-safe.

        Only batches with candles count: trades are sent with their candles, so that a page draws
        once.
        """
        if batch.exchange not in self._exchanges:
            return False
        if isinstance(batch, RowBatch):
            watched = self._watched_markets
            return any((batch.exchange, row.symbol) in watched for row in batch.candles)
        rows = batch.tables.get("ohlcv")
        if rows is None:
            return False
        # Of an announced batch only the closed candles were not sent yet.
        return not was_announced or bool(rows["closed"].any())

    def catch_up(self) -> None:
        """Drain the queue, send the changes to the pages, and bring the cache up to date."""
        self._send_news()
        self._cache_forming()

    def _send_news(self) -> Sequence[AnyBatch]:
        """Return the batches up to now whose trades are not stored."""
        drained = self._queue.drain()
        if drained.has_dropped:
            self.cache.clear()
            self._announced.clear()
            self.reset()
        self._unread.extend(drained.batches)
        unsent = [*drained.announced, *drained.unannounced]
        for batch in unsent:
            self._announced.add(batch)
        stored = [batch for _, batch in drained.batches]
        self._update_cache(stored)
        if self._clients:
            for series in self.watched_series:
                self.send_candles(series, self._announced.changed(series))
                self.send_candles(series, _closed_candles(series, stored))
            for market in {series[:2] for series in self.watched_series}:
                lines, received_us = last_trades(market, unsent)
                if lines:
                    self.send_trades(market, lines, self.clock.wall_time_us(received_us))
        self._announced.forget_changed()
        return drained.unstored

    def _update_cache(self, stored: Sequence[Batch]) -> None:
        frames = [batch.tables["ohlcv"] for batch in stored if "ohlcv" in batch.tables]
        filled = [rows for rows in frames if rows.height]
        if filled:
            # Before stored rows, which may be later ones of the same candles.
            self._cache_forming()
        for rows in filled:
            self.cache.update(rows)

    def _cache_forming(self) -> None:
        """Put forming candles into the cache: they may be held back from the tables."""
        self.cache.update_rows(self._announced.take_uncached())

    def add(self, client: StreamClient) -> None:
        """Add a page, and queue the rows that are not stored yet, which its reads may lack."""
        # One look at the queue: what is announced later is sent with the next news.
        unstored = self._send_news()
        self._update_days()
        super().add(client)
        for start, line in self._announced.forming(client.series):
            client.put_candle(start, line)
        if lines := last_trades(client.series[:2], unstored)[0]:
            client.put_trades(lines)

    @property
    def markets(self) -> set[tuple[str, str]]:
        """Return the markets that have a day candle."""
        return super().markets | self._announced.changed_days

    def last_trades(self) -> dict[tuple[str, str], LastTrade]:
        """Return time and price of the last trade of each market that has a day candle."""
        # While no page watches, nothing else brings the day candles up to date.
        self._update_days()
        return super().last_trades()

    def _update_slow(self) -> None:
        """Update feed status and cache, which need not happen at once."""
        self.feeds.read_batches(self._unread)
        self._unread.clear()
        self.cache.apply_some()

    def _update_days(self) -> None:
        rows = self._announced.take_days()
        if rows is not None:
            self.update_days(rows)


def _closed_candles(series: Series, batches: Sequence[Batch]) -> Iterable[tuple[int, bytes]]:
    """Return start and JSON of a series' closed candles in stored batches, each in its last
    state.
    """
    tables = [batch.tables for batch in batches if batch.exchange == series.exchange]
    frames = [own["ohlcv"] for own in tables if "ohlcv" in own and own["ohlcv"].height]
    if not frames:
        return []
    number, _ = TIMEFRAMES[series.timeframe]
    # This reads columns directly: one query would take longer than all of it.
    rows = pl.concat(frames, how="diagonal")
    is_own = (rows["timeframe"] == number) & (rows["symbol"] == series.symbol)
    hits = (is_own & rows["closed"]).arg_true()
    latest = {int(rows["window_start"].to_physical()[place]): place for place in hits}
    lines = (encode.candle(rows.row(place, named=True)) for place in latest.values())
    return zip((start // SECOND_US for start in latest), lines, strict=True)


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(news.set)
