"""Candles of a series from the cache, or from the tables where it does not reach."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.concurrency import run_in_threadpool

from candlewax.web.cache.cache import CandleCache
from candlewax.web.cache.chunks import CandlePage, make_page
from candlewax.web.cache.loader import Loader
from candlewax.web.queries import Series, Store
from candlewax.web.selection import EVERYTHING, Selection
from candlewax.web.stream.subscribers import Subscribers

_SPARE: Final = 32
"""Cached candles to read beyond the limit if not all are selected."""


@dataclass(frozen=True)
class Wish:
    """Candles to read: those that begin in a span, the first ones or the last, at most `limit`."""

    begin: datetime
    end: datetime
    limit: int
    last: bool
    selection: Selection = EVERYTHING


class CandleReader:
    """Reader of candles for all endpoints."""

    def __init__(
        self, store: Store, subscribers: Subscribers, cache: CandleCache, loader: Loader
    ) -> None:
        self._store = store
        self._subscribers = subscribers
        self._cache = cache
        self._loader = loader

    async def read(self, series: Series, wish: Wish) -> CandlePage:
        """Return candles of a series, oldest first."""
        self._subscribers.catch_up()
        page = self._cached(series, wish)
        if page is None and self._cache.complete_since(series) is None:
            await self._loader.read(series)
            page = self._cached(series, wish)
        if page is None:
            page = await run_in_threadpool(self._stored, series, wish)
        return page

    def _cached(self, series: Series, wish: Wish) -> CandlePage | None:
        """Return candles from the cache; None if it does not hold all that may be selected."""
        if wish.selection.is_stored_only:
            return None
        begin, end = _second(wish.begin), _second(wish.end)
        everything = wish.selection.is_everything
        limit = wish.limit if everything else wish.limit + _SPARE
        page = self._cache.page(series, begin, end, limit, last=wish.last)
        if page is None or everything:
            return page
        chosen = wish.selection.cut(page, wish.limit, last=wish.last)
        has_all = chosen.count == wish.limit or page.count < limit
        return chosen if has_all else None

    def _stored(self, series: Series, wish: Wish) -> CandlePage:
        begin, end = (datetime.fromtimestamp(_second(at), UTC) for at in (wish.begin, wish.end))
        rows = self._store.candles(series, begin, end, wish.limit, wish.selection, last=wish.last)
        return make_page(rows)


def _second(time: datetime) -> int:
    """Return the time rounded up to a whole second, as candles begin on whole seconds."""
    return -int(-time.timestamp() // 1)
