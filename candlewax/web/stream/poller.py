"""What others store, looked for in the tables: the page of `candlewax serve`."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from starlette.concurrency import run_in_threadpool

from candlewax.clickhouse.client import BusyError, QueryError, UnavailableError, short_message
from candlewax.web import encode
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Series, Store
from candlewax.web.stream.client import TAPE
from candlewax.web.stream.feed_status import STALLED, state_of
from candlewax.web.stream.subscribers import Subscribers

EVERY: Final = 0.25
"""Seconds between two looks while pages watch."""

IDLE: Final = 1.0
"""The same while none does: an answer of the API is never older than that."""

SLOWLY: Final = 2.0
"""The same for what is less urgent: prices of all markets, and how the feeds are."""

BACK: Final = 2.0
"""Seconds before the last look that are looked at again: rows have the time at which their
insert began."""

FAR: Final = 60.0
DEEPLY: Final = 10.0
"""The same, and how often, for what took longer."""

MANY: Final = 20_000
"""Candles that change at once; of more all that is kept is read anew, bit by bit."""

_LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log: Final = logging.getLogger(__name__)


class StoredFeedStatus:
    """How the feeds were when the tables were last asked."""

    def __init__(self) -> None:
        self.rows: Sequence[Mapping[str, Any]] = ()
        self.waits: Mapping[str, float | None] = dict.fromkeys(("p50", "p95", "p99"))
        self.check: Mapping[str, Any] | None = None
        """What the cross-check of another process found last."""

    def report(self, wall: int) -> dict[str, Any]:
        """As `feeds.Feeds` says it."""
        feeds = [_shown(row, wall) for row in self.rows]
        states = {feed["state"] for feed in feeds}
        status = "waiting"
        if states:
            status = "live" if states <= {"live", "rotating"} else "degraded"
        return {
            "status": status,
            "now": wall // 1000,
            "feeds": feeds,
            "frames_per_second": round(sum(feed["frames_per_second"] for feed in feeds), 1),
            "trades_per_second": round(sum(feed["trades_per_second"] for feed in feeds), 1),
            "frames": sum(feed["frames"] for feed in feeds),
            "trades": sum(feed["trades"] for feed in feeds),
            "received_to_stored_ms": dict(self.waits),
            "cross_check": self.check,
        }


def _shown(row: Mapping[str, Any], wall: int) -> dict[str, Any]:
    silent = max(0, wall - row["heard"])
    state, reason = state_of(row["event"])
    if state in {"live", "rotating"} and silent > STALLED:
        state = "stalled"
    return {
        "exchange": row["exchange"],
        "connection": row["connection"],
        "state": state,
        "reason": reason,
        "silent_ms": silent // 1000,
        "frames_per_second": round(row["new_frames"] / 10, 1),
        "trades_per_second": round(row["new_trades"] / 10, 1),
        "frames": row["frames"],
        "trades": row["trades"],
    }


class Changes:
    """Looks in the tables for candles that others stored, and puts them among those kept."""

    def __init__(self, store: Store, viewers: Subscribers, recent: CandleCache) -> None:
        self._store = store
        self._viewers = viewers
        self._recent = recent
        self._begun = self._looked = self._deeply = time.monotonic()

    async def look(self) -> dict[Series, dict[int, bytes]]:
        """The candles that changed since the last time, by their starts. Delivery: rows
        that became visible within a minute of their insert's beginning.
        """
        now = time.monotonic()
        deep = now - self._deeply >= DEEPLY
        # What was stored before all was forgotten is read anyway.
        span = min(now - self._looked + (FAR if deep else BACK), now - self._begun + BACK)
        rows = await run_in_threadpool(self._store.changed, span, MANY)
        self._looked = now
        self._deeply = now if deep else self._deeply
        if rows.height == MANY:
            self._begun = now
            self._recent.clear()
            # Of what changed only a part was found.
            self._viewers.reset()
        self._viewers.days(_last_days(rows))
        return self._recent.put(rows)

    async def follow(self) -> None:
        """Look again and again; until cancelled."""
        while True:
            try:
                await self.look()
                self._viewers.tell_database(None)
            except (QueryError, UnavailableError) as error:
                _tell_failure(self._viewers, error)
            await asyncio.sleep(IDLE)


class Poll:
    """Asks what is new, and tells pages what they watch."""

    def __init__(
        self, store: Store, viewers: Subscribers, seen: StoredFeedStatus, recent: CandleCache
    ) -> None:
        self._store = store
        self._viewers = viewers
        self._seen = seen
        self._changes = Changes(store, viewers, recent)
        self._trades: dict[tuple[str, str], tuple[datetime, set[str]]] = {}

    async def run(self) -> None:
        """Look, tell, wait; until cancelled."""
        slowly = 0.0
        self._viewers.begun()
        while True:
            now = time.monotonic()
            try:
                await self._look()
                if now - slowly >= SLOWLY:
                    slowly = now
                    await self._slowly()
                self._viewers.tell_database(None)
            except (QueryError, UnavailableError) as error:
                _tell_failure(self._viewers, error)
                # Whoever hears nothing for long takes the server for gone.
                self._viewers.tell_health()
                await asyncio.sleep(SLOWLY)
            await asyncio.sleep(EVERY if self._viewers.watched else IDLE)

    async def _look(self) -> None:
        for series, lines in (await self._changes.look()).items():
            self._viewers.tell_candles(series, lines.items())
        markets = {one[:2] for one in self._viewers.watched}
        self._trades = {one: known for one, known in self._trades.items() if one in markets}
        for market in markets:
            await self._look_for_trades(market)

    async def _look_for_trades(self, market: tuple[str, str]) -> None:
        known = self._trades.get(market)
        begin = known[0] - timedelta(seconds=5) if known else _EARLIEST
        rows = await run_in_threadpool(
            self._store.trades, market, begin, _LATEST, TAPE * 4, last=True
        )
        if rows.is_empty():
            return
        ids = set(rows["trade_id"])
        if known is not None:
            fresh = rows.filter(~pl.col("trade_id").is_in(list(known[1]))).tail(TAPE)
            if fresh.height:
                received = fresh.select(pl.col("received_at").max().cast(pl.Int64)).item()
                self._viewers.tell_trades(market, encode.lines(fresh), received)
        self._trades[market] = (rows["timestamp"][-1], ids)

    async def _slowly(self) -> None:
        self._viewers.tell_tickers()
        feeds, waits = await run_in_threadpool(self._store.feeds)
        self._seen.rows, self._seen.waits = feeds.to_dicts(), waits
        self._seen.check = await run_in_threadpool(self._store.cross_check)
        self._viewers.tell_health()


def _tell_failure(viewers: Subscribers, error: QueryError | UnavailableError) -> None:
    """Log why the tables were not read, and tell the pages, unless it was just busy."""
    if isinstance(error, QueryError):
        _log.warning("%s", short_message(error))
        viewers.tell_database("ClickHouse refuses to answer; the log says why")
        return
    _log.warning("%s", error)
    if not isinstance(error, BusyError):
        viewers.tell_database(str(error))


def _last_days(rows: pl.DataFrame) -> pl.DataFrame:
    """The last day's candle of each market among these."""
    days = rows.filter(pl.col("timeframe") == "1d").sort("window_start")
    return days.unique(["exchange", "symbol"], keep="last", maintain_order=True)
