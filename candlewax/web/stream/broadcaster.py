"""Broadcasting of batches from the pipeline to the pages.

Trades and forming candles are sent while they are inserted, closed candles once they are stored.
Answers of the API hold stored rows only.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.web import encode
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Series
from candlewax.web.stream.batch_queue import BatchQueue
from candlewax.web.stream.client import TAPE, StreamClient
from candlewax.web.stream.feed_status import SECOND_US, Clock, LiveFeedStatus
from candlewax.web.stream.subscribers import MARKET, ReadReport, Subscribers

TICK: Final = 0.04
"""Seconds between two broadcasts while pages watch: 25 per second."""

IDLE: Final = 0.5
"""Seconds between two rounds while no page watches."""

TICKERS: Final = 0.5
HEALTH: Final = 1.0
"""Seconds between two broadcasts of all markets' prices, and of the feeds' status."""

_IS_DAY: Final = pl.col("timeframe") == TIMEFRAMES["1d"][0]


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
        self._new_candles: list[pl.DataFrame] = []

    async def run(self) -> None:
        """Wait for batches and send them; until cancelled."""
        loop = self.attach_loop()
        self._queue.listen(lambda: _wake(loop, self._news), self.is_awaited)
        tickers = health = 0.0
        while True:
            await self._wait()
            self.catch_up()
            now = loop.time()
            if now - tickers >= (TICKERS if self._clients else HEALTH):
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

    def is_awaited(self, batch: Batch, was_announced: bool) -> bool:  # noqa: FBT001 - an IsAwaited
        """Return whether a page waits for a batch. Thread-safe.

        Only batches with candles count: trades are sent with their candles, so that a page draws
        once.
        """
        rows = batch.tables.get("ohlcv")
        if rows is None or batch.exchange not in self._exchanges:
            return False
        # Of an announced batch only the closed candles were not sent yet.
        return not was_announced or bool(rows["closed"].any())

    def catch_up(self) -> None:
        """Drain the queue, update the cache and send the changes to the pages."""
        drained = self._queue.drain()
        if drained.has_dropped:
            self.cache.clear()
            self.reset()
        self._unread.extend(drained.batches)
        for _, batch in drained.batches:
            rows = batch.tables.get("ohlcv")
            if rows is not None and rows.height:
                self.cache.update(rows)
                self._new_candles.append(rows)
        if self._clients:
            ids = drained.announced_ids
            new = [batch for _, batch in drained.batches if id(batch) not in ids]
            old = [batch for _, batch in drained.batches if id(batch) in ids]
            unsent = [*drained.announced, *new]
            for series in self.watched_series:
                self.send_candles(series, _candles(series, unsent, closed=False))
                self.send_candles(series, _candles(series, [*old, *new], closed=True))
            for market in {series[:2] for series in self.watched_series}:
                lines, received_us = _trades(market, unsent)
                if lines:
                    self.send_trades(market, lines, self.clock.wall_time_us(received_us))

    def add(self, client: StreamClient) -> None:
        """Add a page, and queue the rows that are not stored yet, which its reads lack."""
        self.catch_up()
        super().add(client)
        unstored = self._queue.unstored
        for start, line in _candles(client.series, unstored, closed=False):
            client.put_candle(start, line)
        if lines := _trades(client.series[:2], unstored)[0]:
            client.put_trades(lines)

    def _update_slow(self) -> None:
        """Update feed status and cache, which need not happen at once."""
        self.feeds.read_batches(self._unread)
        self._unread.clear()
        self.cache.apply_queued()

    def _update_days(self) -> None:
        if self._new_candles:
            rows = pl.concat(self._new_candles, how="diagonal").filter(_IS_DAY)
            self._new_candles.clear()
            self.update_days(rows.unique(MARKET, keep="last", maintain_order=True))


# These read Polars columns directly: one query would take longer than all of it.


def _candles(
    series: Series, batches: Sequence[Batch], *, closed: bool
) -> Iterable[tuple[int, bytes]]:
    """Return start and JSON of a series' candles in the batches, each in its last state."""
    tables = [batch.tables for batch in batches if batch.exchange == series.exchange]
    frames = [own["ohlcv"] for own in tables if "ohlcv" in own and own["ohlcv"].height]
    if not frames:
        return []
    number, _ = TIMEFRAMES[series.timeframe]
    rows = pl.concat(frames, how="diagonal")
    is_own = (rows["timeframe"] == number) & (rows["symbol"] == series.symbol)
    hits = (is_own & (rows["closed"] == closed)).arg_true()
    latest = {int(rows["window_start"].to_physical()[place]): place for place in hits}
    lines = (encode.candle(rows.row(place, named=True)) for place in latest.values())
    return zip((start // SECOND_US for start in latest), lines, strict=True)


def _trades(market: tuple[str, str], batches: Sequence[Batch]) -> tuple[list[bytes], int]:
    """Return the last trades of a market in the batches as JSON, and the last receive time."""
    exchange, symbol = market
    own = [batch for batch in batches if batch.exchange == exchange]
    frames = [b.trades for b in own if "silver_trades" in b.tables and b.trades.height]
    if not frames:
        return [], 0
    trades = pl.concat(frames, how="diagonal")
    hits = (trades["symbol"] == symbol).arg_true()[-TAPE:]
    received_us = trades["received_at"].to_physical()
    last_us = max((int(received_us[place]) for place in hits), default=0)
    return [encode.trade(trades.row(place, named=True)) for place in hits], last_us


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(news.set)
