"""Reads candles from the tables before somebody asks for them."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import polars as pl
from starlette.concurrency import run_in_threadpool

from candlewax.clickhouse.client import QueryError, Unavailable, short_message
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.web import encode
from candlewax.web.cache.cache import EACH, CandleCache
from candlewax.web.cache.series import LATEST, OPEN, Read, read
from candlewax.web.queries import Series, Store

STEP: Final = 16_384
"""Candles of a series that are read at once where no one waits for them."""

REST: Final = 1.0
"""For each second of reading so many of none: others have work to do."""

PAUSE: Final = 1.0
"""Seconds between two looks for what there is to read."""

ANEW: Final = 24 * 3600.0
"""Seconds after which all is read anew: a table lets go of what is past its time."""

_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log: Final = logging.getLogger(__name__)


class Loader:
    """Fills what is kept of the candles (`CandleCache`)."""

    def __init__(
        self, store: Store, recent: CandleCache, markets: Callable[[], Iterable[tuple[str, str]]]
    ) -> None:
        """`markets` gives exchange and symbol of those that are known by now."""
        self._store = store
        self._recent = recent
        self._markets = markets

    async def run(self) -> None:
        """Read whatever there is room for, of each series the newest first; until cancelled."""
        began = time.monotonic()
        while True:
            try:
                await self.fill()
            except (QueryError, Unavailable) as error:
                # A request says what is wrong; here it is tried again.
                _log.warning("%s", short_message(error) if isinstance(error, QueryError) else error)
            await asyncio.sleep(PAUSE)
            if time.monotonic() - began > ANEW:
                began = time.monotonic()
                self._recent.clear()

    async def fill(self) -> None:
        """Read until all is here that there is room for."""
        for timeframe in TIMEFRAMES:
            await self._rested(self._begin(timeframe))
        while older := [one for one in self._all() if self._recent.since(one)]:
            for series in older:
                if self._recent.room < STEP:
                    return
                await self._rested(self.read(series, STEP))

    async def _rested(self, reading: Coroutine[None, None, None]) -> None:
        began = time.monotonic()
        await reading
        await asyncio.sleep(REST * (time.monotonic() - began))

    def _all(self) -> list[Series]:
        return [
            Series(*market, timeframe) for market in self._markets() for timeframe in TIMEFRAMES
        ]

    async def _begin(self, timeframe: str) -> None:
        """Read the last candles of all series of which there are none yet, in one go: to ask
        takes as long for many as for one.
        """
        series = [Series(*market, timeframe) for market in self._markets()]
        begun = {one: self._recent.begin(one) for one in series if self._recent.since(one) is None}
        if begun:
            found = await run_in_threadpool(self._newest, timeframe, list(begun))
            for one, meanwhile in begun.items():
                self._recent.extend(one, meanwhile, found.get(one, Read(0, (), {})))

    def _newest(self, timeframe: str, series: Sequence[Series]) -> dict[Series, Read]:
        rows = self._store.newest(timeframe, [one[:2] for one in series], EACH)
        return {
            Series(str(exchange), str(symbol), timeframe): _found(own, EACH, OPEN)
            for (exchange, symbol), own in rows.group_by("exchange", "symbol", maintain_order=True)
        }

    async def read(self, series: Series, count: int = EACH) -> None:
        """Read so many candles of a series before those that are here."""
        before = self._recent.since(series)
        meanwhile = self._recent.begin(series)
        found = await run_in_threadpool(self._read, series, before, count)
        self._recent.extend(series, meanwhile, found)

    def _read(self, series: Series, before: int | None, count: int) -> Read:
        end = datetime.fromtimestamp(before or LATEST, UTC)
        rows = self._store.candles(series, _BEGIN, end, count, last=True)
        return _found(rows, count, OPEN if before is None else 0)


def _found(rows: pl.DataFrame, count: int, still: int) -> Read:
    """What was read where so many candles were asked for."""
    # Fewer than were asked for are all there are.
    since = encode.starts(rows[:1])[0] if rows.height == count else 0
    return read(since, encode.typed(rows), still)
