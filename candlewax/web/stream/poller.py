"""Polling of the tables for rows that other processes store; used by `candlewax serve`."""

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
from candlewax.web.stream.feed_status import CLOSED, STALLED_US, state_of
from candlewax.web.stream.subscribers import Subscribers

POLL_S: Final = 0.25
"""Seconds between two polls while pages watch."""

IDLE_POLL_S: Final = 1.0
"""Seconds between two polls while no page watches; API answers are never older."""

SLOW_POLL_S: Final = 2.0
"""Seconds between two polls of all markets' prices and the feeds' status."""

OVERLAP_S: Final = 2.0
"""Seconds before the last poll that are read again: rows carry the time their insert began."""

DEEP_OVERLAP_S: Final = 60.0
DEEP_POLL_S: Final = 10.0
"""Seconds that are read again every DEEP_POLL_S seconds, for inserts that took longer."""

MOST_CHANGES: Final = 20_000
"""Changed candles of one poll. If there are more, the cache is cleared and filled again."""

_LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log: Final = logging.getLogger(__name__)


class StoredFeedStatus:
    """Status of the feeds at the last poll of the tables."""

    def __init__(self) -> None:
        self.rows: Sequence[Mapping[str, Any]] = ()
        self.delays: Mapping[str, float | None] = dict.fromkeys(("p50", "p95", "p99"))
        self.cross_check: Mapping[str, Any] | None = None
        """Last cross-check of another process."""

    def report(self, wall_us: int) -> dict[str, Any]:
        """Return the status in the form of `LiveFeedStatus.report`."""
        feeds = _shown([_feed_json(row, wall_us) for row in self.rows])
        states = {feed["state"] for feed in feeds}
        status = "waiting"
        if states:
            status = "live" if states <= {"live", "rotating"} else "degraded"
        return {
            "status": status,
            "replay": None,
            "now": wall_us // 1000,
            "feeds": feeds,
            "frames_per_second": round(sum(feed["frames_per_second"] for feed in feeds), 1),
            "trades_per_second": round(sum(feed["trades_per_second"] for feed in feeds), 1),
            "frames": sum(feed["frames"] for feed in feeds),
            "trades": sum(feed["trades"] for feed in feeds),
            "received_to_stored_ms": dict(self.delays),
            "cross_check": self.cross_check,
        }


def _shown(feeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the connections to show, as `LiveFeedStatus` does."""
    delivering = {feed["exchange"] for feed in feeds if feed["state"] in {"live", "rotating"}}
    return [
        {**feed, "state": "disconnected"} if feed["state"] == CLOSED else feed
        for feed in feeds
        if feed["state"] != CLOSED or feed["exchange"] not in delivering
    ]


def _feed_json(row: Mapping[str, Any], wall_us: int) -> dict[str, Any]:
    silent_us = max(0, wall_us - row["received_us"])
    state, reason = state_of(row["event"])
    if state in {"live", "rotating"} and silent_us > STALLED_US:
        state = "stalled"
    return {
        "exchange": row["exchange"],
        "connection": row["connection"],
        "state": state,
        "reason": reason,
        "silent_ms": silent_us // 1000,
        "frames_per_second": round(row["new_frames"] / 10, 1),
        "trades_per_second": round(row["new_trades"] / 10, 1),
        "frames": row["frames"],
        "trades": row["trades"],
    }


class Changes:
    """Polls the tables for candles that other processes stored, and updates the cache."""

    def __init__(self, store: Store, subscribers: Subscribers, cache: CandleCache) -> None:
        self._store = store
        self._subscribers = subscribers
        self._cache = cache
        self._cleared_at = self._polled_at = self._deep_polled_at = time.monotonic()

    async def poll(self) -> dict[Series, dict[int, bytes]]:
        """Return the candles that changed since the last poll: JSON by series and start.

        Delivery: rows that became visible within a minute after their insert began.
        """
        now = time.monotonic()
        is_deep = now - self._deep_polled_at >= DEEP_POLL_S
        # Rows stored before the cache was cleared are read by the loader anyway.
        span = min(
            now - self._polled_at + (DEEP_OVERLAP_S if is_deep else OVERLAP_S),
            now - self._cleared_at + OVERLAP_S,
        )
        rows = await run_in_threadpool(self._store.changed, span, MOST_CHANGES)
        self._polled_at = now
        self._deep_polled_at = now if is_deep else self._deep_polled_at
        if rows.height == MOST_CHANGES:
            self._cleared_at = now
            self._cache.clear()
            # The limit cut off the other changes.
            self._subscribers.reset()
        self._subscribers.update_days(_last_days(rows))
        return self._cache.put(rows)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self.poll()
                self._subscribers.send_database(None)
            except (QueryError, UnavailableError) as error:
                _report_failure(self._subscribers, error)
            await asyncio.sleep(IDLE_POLL_S)


class Poll:
    """Polls the tables and sends pages the changes that they watch."""

    def __init__(
        self,
        store: Store,
        subscribers: Subscribers,
        feed_status: StoredFeedStatus,
        cache: CandleCache,
    ) -> None:
        self._store = store
        self._subscribers = subscribers
        self._feed_status = feed_status
        self._changes = Changes(store, subscribers, cache)
        self._trades: dict[tuple[str, str], tuple[datetime, set[str]]] = {}

    async def run(self) -> None:
        """Poll and send until cancelled."""
        slow_polled_at = 0.0
        self._subscribers.attach_loop()
        while True:
            now = time.monotonic()
            try:
                await self._poll_changes()
                if now - slow_polled_at >= SLOW_POLL_S:
                    slow_polled_at = now
                    await self._poll_slowly()
                self._subscribers.send_database(None)
            except (QueryError, UnavailableError) as error:
                _report_failure(self._subscribers, error)
                # A page that receives nothing for long takes the server for gone.
                self._subscribers.send_health()
                await asyncio.sleep(SLOW_POLL_S)
            await asyncio.sleep(POLL_S if self._subscribers.watched_series else IDLE_POLL_S)

    async def _poll_changes(self) -> None:
        for series, lines in (await self._changes.poll()).items():
            self._subscribers.send_candles(series, lines.items())
        markets = {series[:2] for series in self._subscribers.watched_series}
        self._trades = {key: last for key, last in self._trades.items() if key in markets}
        for market in markets:
            await self._poll_trades(market)

    async def _poll_trades(self, market: tuple[str, str]) -> None:
        last = self._trades.get(market)
        begin = last[0] - timedelta(seconds=5) if last else _EARLIEST
        rows = await run_in_threadpool(
            self._store.trades, market, begin, _LATEST, TAPE * 4, last=True
        )
        if rows.is_empty():
            return
        ids = set(rows["trade_id"])
        if last is not None:
            new = rows.filter(~pl.col("trade_id").is_in(list(last[1]))).tail(TAPE)
            if new.height:
                received_us = new.select(pl.col("received_at").max().cast(pl.Int64)).item()
                self._subscribers.send_trades(market, encode.lines(new), received_us)
        self._trades[market] = (rows["timestamp"][-1], ids)

    async def _poll_slowly(self) -> None:
        self._subscribers.send_tickers()
        feeds, delays = await run_in_threadpool(self._store.feeds)
        self._feed_status.rows, self._feed_status.delays = feeds.to_dicts(), delays
        self._feed_status.cross_check = await run_in_threadpool(self._store.cross_check)
        self._subscribers.send_health()


def _report_failure(subscribers: Subscribers, error: QueryError | UnavailableError) -> None:
    """Log why the tables were not read, and tell the pages unless the database is only busy."""
    if isinstance(error, QueryError):
        _log.warning("%s", short_message(error))
        subscribers.send_database("ClickHouse refuses to answer; the log says why")
        return
    _log.warning("%s", error)
    if not isinstance(error, BusyError):
        subscribers.send_database(str(error))


def _last_days(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the last day candle of each market."""
    days = rows.filter(pl.col("timeframe") == "1d").sort("window_start")
    return days.unique(["exchange", "symbol"], keep="last", maintain_order=True)
