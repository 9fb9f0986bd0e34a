"""What comes and what was stored, on its way to the pages.

Trades and candles that form are shown as they come, beside their insert; a closed candle
once it is stored. Answers of the API hold what is stored.
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
from candlewax.web.stream.feed_status import SECOND, Clock, Feeds
from candlewax.web.stream.subscribers import MARKET, Report, Subscribers

TICK: Final = 0.04
"""Seconds between two looks at what came while pages watch: 25 a second."""

IDLE: Final = 0.5
"""The same while none does."""

TICKERS: Final = 0.5
HEALTH: Final = 1.0
"""Seconds between two rounds of all markets' prices, and of how the feeds are."""

_OF_DAYS: Final = pl.col("timeframe") == TIMEFRAMES["1d"][0]


class Broadcaster(Subscribers):
    """Takes what comes and what was just stored and gives each page what it watches.

    Only the hub is shared with another thread.
    """

    def __init__(
        self,
        hub: BatchQueue,
        recent: CandleCache,
        clock: Clock | None = None,
        cross_check: Report | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.feeds = Feeds(self.clock)
        super().__init__(self.feeds, cross_check)
        self.recent = recent
        self._hub = hub
        self._told = 0.0
        self._unlearned: list[tuple[int, Batch]] = []
        self._fresh: list[pl.DataFrame] = []

    async def run(self) -> None:
        """Look, tell, wait; until cancelled."""
        loop = self.begun()
        self._hub.listen(lambda: _wake(loop, self._news), self.awaits)
        tickers = health = 0.0
        while True:
            await self._wait()
            self.catch_up()
            now = loop.time()
            if now - tickers >= (TICKERS if self._viewers else HEALTH):
                tickers = now
                self._moved_days()
                self.tell_tickers()
            if now - health >= HEALTH:
                health = now
                self._settle()
                self.tell_health()

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

    def awaits(self, batch: Batch, known: bool) -> bool:  # noqa: FBT001 - as the hub calls it
        """Whether a page waits for a batch; in any thread. Trades are shown with the candles
        that they make, so that a page draws once.
        """
        rows = batch.tables.get("ohlcv")
        if rows is None or batch.exchange not in self._exchanges:
            return False
        # Of what was shown as it came only closed candles are news.
        return not known or bool(rows["closed"].any())

    def catch_up(self) -> None:
        """Take what came and what was just stored, and tell the pages."""
        taken = self._hub.take()
        if taken.dropped:
            self.recent.clear()
            self.reset()
        self._unlearned.extend(taken.batches)
        for _, batch in taken.batches:
            rows = batch.tables.get("ohlcv")
            if rows is not None and rows.height:
                self.recent.update(rows)
                self._fresh.append(rows)
        if self._viewers:
            fresh = [batch for _, batch in taken.batches if id(batch) not in taken.known]
            known = [batch for _, batch in taken.batches if id(batch) in taken.known]
            for series in self.watched:
                self.tell_candles(series, _candles(series, [*taken.coming, *fresh], closed=False))
                self.tell_candles(series, _candles(series, [*known, *fresh], closed=True))
            for market in {series[:2] for series in self.watched}:
                lines, received = _trades(market, [*taken.coming, *fresh])
                if lines:
                    self.tell_trades(market, lines, self.clock.wall(received))

    def enter(self, viewer: StreamClient) -> None:
        """A page begins to watch: what it reads lacks what is not stored yet."""
        self.catch_up()
        super().enter(viewer)
        coming = self._hub.unstored
        for start, line in _candles(viewer.series, coming, closed=False):
            viewer.candle(start, line)
        if lines := _trades(viewer.series[:2], coming)[0]:
            viewer.trades(lines)

    def _settle(self) -> None:
        """What need not be known at once."""
        self.feeds.learn(self._unlearned)
        self._unlearned.clear()
        self.recent.apply_queued()

    def _moved_days(self) -> None:
        if self._fresh:
            rows = pl.concat(self._fresh, how="diagonal").filter(_OF_DAYS)
            self._fresh.clear()
            self.days(rows.unique(MARKET, keep="last", maintain_order=True))


# Without queries: one would take longer than all of this.


def _candles(
    series: Series, batches: Sequence[Batch], *, closed: bool
) -> Iterable[tuple[int, bytes]]:
    """The candles of a series among what comes, each as it was last: starts and JSON."""
    given = (one.tables.get("ohlcv") for one in batches if one.exchange == series.exchange)
    frames = [rows for rows in given if rows is not None and rows.height]
    if not frames:
        return []
    number, _ = TIMEFRAMES[series.timeframe]
    rows = pl.concat(frames, how="diagonal")
    own = (rows["timeframe"] == number) & (rows["symbol"] == series.symbol)
    hits = (own & (rows["closed"] == closed)).arg_true()
    latest = {int(rows["window_start"].to_physical()[place]): place for place in hits}
    lines = (encode.candle(rows.row(place, named=True)) for place in latest.values())
    return zip((start // SECOND for start in latest), lines, strict=True)


def _trades(market: tuple[str, str], batches: Sequence[Batch]) -> tuple[list[bytes], int]:
    """The last trades of a market among what comes, as JSON, and when the last of them was
    received.
    """
    exchange, symbol = market
    own = (one for one in batches if one.exchange == exchange and "silver_trades" in one.tables)
    frames = [one.trades for one in own if one.trades.height]
    if not frames:
        return [], 0
    trades = pl.concat(frames, how="diagonal")
    hits = (trades["symbol"] == symbol).arg_true()[-TAPE:]
    received = trades["received_at"].to_physical()
    last = max((int(received[place]) for place in hits), default=0)
    return [encode.trade(trades.row(place, named=True)) for place in hits], last


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(news.set)
