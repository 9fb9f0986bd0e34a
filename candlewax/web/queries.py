"""Queries of the API on the tables, one function each."""

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.clickhouse.client import BusyError, Database, QueryError
from candlewax.core.cross_check import as_report
from candlewax.core.schema import TIME
from candlewax.web import encode
from candlewax.web.database_pulse import Pulse
from candlewax.web.history import History, trades_sql


class Series(NamedTuple):
    """Key of the candles of one market in one timeframe."""

    exchange: str
    symbol: str
    timeframe: str


_SYMBOLS: Final = """
SELECT exchange, symbol, sum(trade_count) AS trades,
    toDateTime64(min(open_time), 6, 'UTC') AS first_trade,
    toDateTime64(max(close_time), 6, 'UTC') AS last_trade
FROM ohlcv FINAL
WHERE timeframe = '1d'
GROUP BY exchange, symbol
ORDER BY exchange, symbol
"""

_DAYS: Final = """
SELECT exchange, symbol, open, close, volume, trade_count,
    toDateTime64(ohlcv.close_time, 6, 'UTC') AS close_time
FROM ohlcv FINAL
WHERE timeframe = '1d'
ORDER BY exchange, symbol, window_start DESC
LIMIT 1 BY exchange, symbol
"""

_GAPS: Final = """
SELECT exchange, symbol, first_sequence, last_sequence, any(count) AS count,
    min(missing) AS missing,
    toDateTime64(min(before), 6, 'UTC') AS before, toDateTime64(max(after), 6, 'UTC') AS after,
    toDateTime64(min(detected_at), 6, 'UTC') AS detected_at, toString(max(state)) AS state,
    max(attempts) AS attempts, anyLast(reason) AS reason, numbering
FROM gaps AS gap
WHERE exchange IN {exchanges:Array(String)}
    AND ({symbol:String} = '' OR symbol = {symbol:String})
GROUP BY exchange, symbol, first_sequence, last_sequence, numbering
HAVING max(gap.after) >= {begin:DateTime64(6, 'UTC')}
    AND min(gap.before) < {end:DateTime64(6, 'UTC')}
ORDER BY before, exchange, symbol, first_sequence, numbering
LIMIT {limit:UInt32}
"""

_FEEDS: Final = """
SELECT exchange, connection, toInt64(toUnixTimestamp64Micro(max(received_at))) AS received_us,
    countIf(inserted_at >= now64(6) - INTERVAL 10 SECOND) AS new_frames,
    toUInt64(sumIf(bronze_frames.trades - duplicates,
        inserted_at >= now64(6) - INTERVAL 10 SECOND)) AS new_trades,
    count() AS frames, toUInt64(sum(bronze_frames.trades - duplicates)) AS trades,
    argMaxIf(frame, received_at, kind = 'control' AND startsWith(frame, '{"candlewax":')) AS event
FROM bronze_frames
WHERE received_at >= now64(6) - INTERVAL 10 MINUTE
    -- REST and dump files are no feed that could stall.
    AND NOT startsWith(connection, 'rest/') AND NOT startsWith(connection, 'dump/')
GROUP BY exchange, connection
ORDER BY exchange, connection
"""

_WAITS: Final = """
SELECT quantilesExact(0.5, 0.95, 0.99)(
    toFloat64(toUnixTimestamp64Micro(inserted_at) - toUnixTimestamp64Micro(received_at)) / 1000
) AS waits, count() AS trades
FROM silver_trades
WHERE timestamp >= now64(6) - INTERVAL 1 MINUTE AND received_at >= now64(6) - INTERVAL 1 MINUTE
"""


_CROSS_CHECK: Final = """
SELECT count() AS exchanges, toDateTime64(min(checked_at), 3, 'UTC') AS oldest,
    sum(candles), sum(mismatches), sum(missing_in_gold), sum(missing_in_check)
FROM cross_checks FINAL
WHERE checked_at >= now64(3) - INTERVAL 1 DAY
"""

TURN_S: Final = 1.0
"""Seconds a request waits for a free database connection."""


class Cursor(NamedTuple):
    """Position of a trade in the order of trades."""

    time: datetime
    sequence: int
    trade_id: str


class Store:
    """Reader of the tables over a few database connections that threads share."""

    def __init__(
        self,
        open_database: Callable[[], Database],
        connections: int = 3,
        before_query: Callable[[], None] = lambda: None,
    ) -> None:
        """`before_query` is called before each query, in its thread: it may store what is new."""
        self._before_query = before_query
        self._free: queue.LifoQueue[Database] = queue.LifoQueue()
        self._all = [open_database() for _ in range(connections)]
        for database in self._all:
            self._free.put(database)
        self._history = History(self.ask)
        database = self._all[0]
        self._pulse = None if database.is_embedded else Pulse(database)

    @contextmanager
    def _connection(self) -> Iterator[Database]:
        try:
            database = self._free.get(timeout=TURN_S)
        except queue.Empty:
            if self._pulse:
                self._pulse.check(time.monotonic() - TURN_S)
            raise BusyError("the database has other requests to answer") from None
        try:
            yield database
        finally:
            # A query that hangs may still use it; a connection to a server serves several threads.
            self._free.put(database)

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Return the rows of a query: times in UTC, names as text. Raises Unavailable."""
        self._before_query()
        with self._connection() as database:
            query = partial(database.query_once, sql, parameters)
            rows = self._pulse.ask(query) if self._pulse else query()
        return rows.with_columns(
            *(
                pl.col(name).cast(TIME)
                for name, kind in rows.schema.items()
                if isinstance(kind, pl.Datetime)
            ),
            *(
                pl.col(name).cast(pl.String)
                for name, kind in rows.schema.items()
                if isinstance(kind, pl.Categorical | pl.Enum)
            ),
        )

    def candles(
        self, series: Series, begin: datetime, end: datetime, limit: int, *, last: bool
    ) -> pl.DataFrame:
        """Return the first or `last` candles (encode.CANDLE) that begin in a time range, oldest
        first.
        """

        def read(source: str, begin: datetime, end: datetime, limit: int) -> pl.DataFrame:
            rows = self.ask(
                f"SELECT {_CANDLE} FROM {source} WHERE timeframe = {{timeframe:String}} "
                "AND exchange = {exchange:String} AND symbol = {symbol:String} "
                "AND ohlcv.window_start >= {begin:DateTime('UTC')} "
                "AND ohlcv.window_start < {end:DateTime('UTC')} "
                f"ORDER BY ohlcv.window_start{' DESC' if last else ''} LIMIT {{limit:UInt32}}",
                {**series._asdict(), "begin": begin, "end": end, "limit": limit},
            )
            return rows.reverse() if last else rows

        rows = self._history.read("candles", read, begin, end, limit, last=last)
        return encode.candles(rows)

    def newest(self, timeframe: str, markets: Sequence[tuple[str, str]], each: int) -> pl.DataFrame:
        """Return the newest `each` candles of each market, oldest first, and its names."""
        rows = self.ask(
            f"SELECT exchange, symbol, {_CANDLE} FROM ohlcv FINAL "
            "WHERE timeframe = {timeframe:String} "
            "AND (exchange, symbol) IN {markets:Array(Tuple(String, String))} "
            "ORDER BY exchange, symbol, ohlcv.window_start DESC "
            "LIMIT {each:UInt32} BY exchange, symbol",
            {"timeframe": timeframe, "markets": list(markets), "each": each},
        ).reverse()
        return rows.select("exchange", "symbol").hstack(encode.candles(rows))

    def changed(self, span: float, limit: int) -> pl.DataFrame:
        """Return candles with a row stored in the last `span` seconds, and the columns of their
        series.

        Each candle comes once, as its newest row has it.
        """
        rows = self.ask(_CHANGED, {"span": int(span * 1000), "limit": limit})
        return rows.select("timeframe", "exchange", "symbol").hstack(encode.candles(rows))

    def trades(
        self,
        market: tuple[str, str],
        begin: datetime,
        end: datetime,
        limit: int,
        cursor: Cursor | None = None,
        *,
        last: bool,
    ) -> pl.DataFrame:
        """Return the first or `last` trades (encode.TRADE) of a time range, oldest first.

        With a cursor: only trades behind it, or before it for the last ones.
        """
        parameters: dict[str, Any] = {"exchange": market[0], "symbol": market[1]}
        if cursor:
            parameters |= {"at": cursor.time, "number": cursor.sequence, "id": cursor.trade_id}
            if last and cursor.time < end:
                end = cursor.time + timedelta(microseconds=1)
            elif not last:
                begin = max(begin, cursor.time)

        def read(source: str, begin: datetime, end: datetime, limit: int) -> pl.DataFrame:
            sql = trades_sql(source, last=last, has_cursor=cursor is not None)
            rows = self.ask(sql, {**parameters, "begin": begin, "end": end, "limit": limit})
            return rows.reverse() if last else rows

        return self._history.read("trades", read, begin, end, limit, last=last)

    def gaps(
        self, exchanges: list[str], symbol: str, begin: datetime, end: datetime, limit: int
    ) -> pl.DataFrame:
        """Return gaps that overlap a time range."""
        parameters = {"exchanges": exchanges, "symbol": symbol, "begin": begin, "end": end}
        return self.ask(_GAPS, {**parameters, "limit": limit})

    def symbols(self) -> pl.DataFrame:
        """Return all markets that have candles."""
        return self.ask(_SYMBOLS)

    def days(self) -> pl.DataFrame:
        """Return the newest day candle of each market."""
        return self.ask(_DAYS)

    def feeds(self) -> tuple[pl.DataFrame, dict[str, float | None]]:
        """Return the connections of the last ten minutes and the delay from receipt to storage.

        The delay is in milliseconds, as p50, p95 and p99 of the last minute's trades.
        """
        waits = self.ask(_WAITS)
        delays = waits["waits"][0] if waits["trades"][0] else [None] * 3
        rounded = [None if delay is None else round(delay, 1) for delay in delays]
        return self.ask(_FEEDS), dict(zip(("p50", "p95", "p99"), rounded, strict=True))

    def cross_check(self) -> dict[str, Any] | None:
        """Return the latest cross-check of all exchanges, as `as_report` forms it.

        None if no exchange was checked within a day.
        """
        try:
            rows = self.ask(_CROSS_CHECK)
        except QueryError as error:
            # The database is of an older version; the next process that stores creates the table.
            if "UNKNOWN_TABLE" in str(error):
                return None
            raise
        exchanges, checked_at, *counts = rows.row(0)
        return as_report(checked_at, *counts) if exchanges else None

    def close(self) -> None:
        """Close the database connections."""
        for database in self._all:
            database.close()


def _column_sql(name: str) -> str:
    if name == "window_start":
        return "toDateTime64(ohlcv.window_start, 0, 'UTC') AS window_start"
    if name in {"open_time", "close_time"}:
        return f"toDateTime64(ohlcv.{name}, 6, 'UTC') AS {name}"
    if name == "status":
        return "toString(ohlcv.status) AS status"
    return f"ohlcv.{name} AS {name}"


_CANDLE: Final = ", ".join(map(_column_sql, encode.CANDLE))

_CHANGED: Final = f"""
SELECT toString(ohlcv.timeframe) AS timeframe, exchange, symbol, {_CANDLE}
FROM ohlcv
WHERE updated_at >= now64(6) - toIntervalMillisecond({{span:UInt64}})
ORDER BY version DESC, updated_at DESC
LIMIT 1 BY ohlcv.timeframe, exchange, symbol, ohlcv.window_start
LIMIT {{limit:UInt32}}
"""
