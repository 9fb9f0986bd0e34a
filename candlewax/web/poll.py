"""What others store, looked for in the tables: the page of `candlewax serve`."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.concurrency import run_in_threadpool

from candlewax.candles import TIMEFRAMES
from candlewax.connectors.clickhouse import briefly
from candlewax.web import encode
from candlewax.web.feeds import SECOND, STALLED, state_of
from candlewax.web.live import Viewers
from candlewax.web.store import Series, Store
from candlewax.web.viewer import TAPE

EVERY: Final = 0.25
"""Seconds between two looks for what pages watch."""

SLOWLY: Final = 2.0
"""The same for what is less urgent: prices of all markets, and how the feeds are."""

BACK: Final = 3
"""Candles before the last one that are looked at again each time."""

DEEP: Final = 200
"""Candles that are looked at again now and then: late trades change older ones."""

DEEPLY: Final = 10.0

_LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log: Final = logging.getLogger(__name__)


class Seen:
    """How the feeds were when the tables were last asked."""

    def __init__(self) -> None:
        self.rows: Sequence[Mapping[str, Any]] = ()
        self.waits: Mapping[str, float | None] = dict.fromkeys(("p50", "p95", "p99"))

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


class Poll:
    """Asks for what pages watch, and tells them what is new.

    Late trades of candles further back than DEEP show when a page is loaded again.
    """

    def __init__(self, store: Store, viewers: Viewers, seen: Seen) -> None:
        self._store = store
        self._viewers = viewers
        self._seen = seen
        self._candles: dict[Series, dict[int, bytes]] = {}
        self._trades: dict[tuple[str, str], tuple[datetime, set[str]]] = {}

    async def run(self) -> None:
        """Look, tell, wait; until cancelled."""
        slowly = deeply = 0.0
        self._viewers.begun()
        while True:
            now = time.monotonic()
            try:
                deep = now - deeply >= DEEPLY
                await self._watched(DEEP if deep else BACK)
                deeply = now if deep else deeply
                if now - slowly >= SLOWLY:
                    slowly = now
                    await self._slowly()
            except ClickHouseError as error:
                # It is asked again soon; the page shows that nothing comes.
                _log.warning("%s", briefly(error))
                await asyncio.sleep(SLOWLY)
            await asyncio.sleep(EVERY)

    async def _watched(self, back: int) -> None:
        watched = self._viewers.watched
        self._candles = {one: known for one, known in self._candles.items() if one in watched}
        markets = {one[:2] for one in watched}
        self._trades = {one: known for one, known in self._trades.items() if one in markets}
        for series in watched:
            await self._look(series, back)
        for market in markets:
            await self._look_for_trades(market)

    async def _look(self, series: Series, back: int) -> None:
        known = self._candles.get(series)
        begin = _EARLIEST
        if known:
            step = TIMEFRAMES[series.timeframe][1] // SECOND
            begin = datetime.fromtimestamp(max(known) - back * step, UTC)
        rows = await run_in_threadpool(self._store.candles, series, begin, _LATEST, DEEP, last=True)
        starts = rows["window_start"].dt.epoch("s").to_list()
        lines = dict(zip(starts, encode.lines(rows), strict=True))
        if known is not None:
            changed = [(start, line) for start, line in lines.items() if known.get(start) != line]
            self._viewers.tell_candles(series, changed)
        kept = {**(known or {}), **lines}
        self._candles[series] = dict(sorted(kept.items())[-DEEP:])

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
        self._viewers.days(await run_in_threadpool(self._store.days))
        self._viewers.tell_tickers()
        feeds, waits = await run_in_threadpool(self._store.feeds)
        self._seen.rows, self._seen.waits = feeds.to_dicts(), waits
        self._viewers.tell_health()
