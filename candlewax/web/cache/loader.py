"""Loading of candles from the tables into the cache, ahead of requests."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import polars as pl
from starlette.concurrency import run_in_threadpool

from candlewax.clickhouse.client import QueryError, UnavailableError, short_message
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.web import encode
from candlewax.web.cache.cache import EACH, CandleCache
from candlewax.web.cache.series import LATEST, OPEN, LoadedCandles, pack_loaded
from candlewax.web.queries import Series, Store

STEP_CANDLES: Final = 16_384
"""Candles of a series that one query reads when no request waits for them."""

REST_RATIO: Final = 1.0
"""Seconds to pause per second of reading, so that other threads can work."""

PAUSE_S: Final = 1.0
"""Seconds between two checks for candles to read."""

RELOAD_S: Final = 24 * 3600.0
"""Seconds after which everything is read again, as tables drop rows past their retention."""

_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log: Final = logging.getLogger(__name__)


class Loader:
    """Fills the cache of candles (`CandleCache`) from the tables."""

    def __init__(
        self, store: Store, cache: CandleCache, markets: Callable[[], Iterable[tuple[str, str]]]
    ) -> None:
        """`markets` returns exchange and symbol of the markets known so far."""
        self._store = store
        self._cache = cache
        self._markets = markets

    async def run(self) -> None:
        """Read as many candles as fit, of each series the newest first; until cancelled."""
        began_at = time.monotonic()
        while True:
            try:
                await self.fill()
            except (QueryError, UnavailableError) as error:
                # A request reports the error to its client; here the next round tries again.
                _log.warning("%s", short_message(error) if isinstance(error, QueryError) else error)
            await asyncio.sleep(PAUSE_S)
            if time.monotonic() - began_at > RELOAD_S:
                began_at = time.monotonic()
                self._cache.clear()

    async def fill(self) -> None:
        """Read until the cache is full or holds everything."""
        for timeframe in TIMEFRAMES:
            await self._run_then_rest(self._read_newest(timeframe))
        while incomplete := [s for s in self._all_series() if self._cache.complete_since(s)]:
            for series in incomplete:
                if self._cache.free_candles < STEP_CANDLES:
                    return
                await self._run_then_rest(self.read(series, STEP_CANDLES))

    async def _run_then_rest(self, reading: Coroutine[None, None, None]) -> None:
        began_at = time.monotonic()
        await reading
        await asyncio.sleep(REST_RATIO * (time.monotonic() - began_at))

    def _all_series(self) -> list[Series]:
        return [
            Series(*market, timeframe) for market in self._markets() for timeframe in TIMEFRAMES
        ]

    async def _read_newest(self, timeframe: str) -> None:
        """Read the newest candles of all series that are not cached.

        One query reads them all: it takes as long for many series as for one.
        """
        all_series = [Series(*market, timeframe) for market in self._markets()]
        new = [series for series in all_series if self._cache.complete_since(series) is None]
        reads = {series: self._cache.begin_read(series) for series in new}
        if reads:
            loaded = await run_in_threadpool(self._query_newest, timeframe, new)
            for series, changes in reads.items():
                self._cache.extend(series, changes, loaded.get(series, LoadedCandles(0, (), {})))

    def _query_newest(
        self, timeframe: str, series: Sequence[Series]
    ) -> dict[Series, LoadedCandles]:
        rows = self._store.newest(timeframe, [key[:2] for key in series], EACH)
        return {
            Series(str(exchange), str(symbol), timeframe): _prepare(market_rows, EACH, OPEN)
            for (exchange, symbol), market_rows in rows.group_by(
                "exchange", "symbol", maintain_order=True
            )
        }

    async def read(self, series: Series, count: int = EACH) -> None:
        """Read `count` candles of a series before the cached ones."""
        before = self._cache.complete_since(series)
        changes = self._cache.begin_read(series)
        loaded = await run_in_threadpool(self._query, series, before, count)
        self._cache.extend(series, changes, loaded)

    def _query(self, series: Series, before: int | None, count: int) -> LoadedCandles:
        end = datetime.fromtimestamp(before or LATEST, UTC)
        rows = self._store.candles(series, _BEGIN, end, count, last=True)
        return _prepare(rows, count, OPEN if before is None else 0)


def _prepare(rows: pl.DataFrame, count: int, open_count: int) -> LoadedCandles:
    """Return candles that a query with a limit of `count` gave."""
    # Fewer rows than the limit: the table has no older ones.
    since = encode.starts(rows[:1])[0] if rows.height == count else 0
    return pack_loaded(since, encode.cast_candles(rows), open_count)
