"""Queries of the API on the tables, one function each."""

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.clickhouse.client import BusyError, Database, QueryError
from candlewax.core.cross_check import as_report
from candlewax.core.schema import TIME, Columns
from candlewax.web import encode, statements
from candlewax.web.database_pulse import Pulse
from candlewax.web.history import History, trades_sql
from candlewax.web.selection import EVERYTHING, Selection

_CONTRACTS: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "contract_size": pl.Decimal(38, 12),
    "contract_unit": pl.String,
}

_MARKET_FACTS: Final[Columns] = {
    "symbol": pl.String,
    "tick": pl.Decimal(38, 12),
    "status": pl.String,
}


class Series(NamedTuple):
    """Key of the candles of one market in one timeframe."""

    exchange: str
    symbol: str
    timeframe: str


END_OF_TIME: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""Bound of the times in the tables, exclusive."""

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
        self.history = History(self.ask)
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
        self,
        series: Series,
        begin: datetime,
        end: datetime,
        limit: int,
        selection: Selection = EVERYTHING,
        *,
        last: bool,
    ) -> pl.DataFrame:
        """Return the first or `last` selected candles (encode.CANDLE) that begin in a time range,
        oldest first.
        """

        def read(source: str, begin: datetime, end: datetime, limit: int) -> pl.DataFrame:
            rows = self.ask(
                f"SELECT {statements.CANDLE} FROM {source} WHERE timeframe = {{timeframe:String}} "
                "AND exchange = {exchange:String} AND symbol = {symbol:String} "
                "AND ohlcv.window_start >= {begin:DateTime('UTC')} "
                "AND ohlcv.window_start < {end:DateTime('UTC')}"
                f"{selection.condition} "
                f"ORDER BY ohlcv.window_start{' DESC' if last else ''} LIMIT {{limit:UInt32}}",
                {
                    **series._asdict(),
                    **selection.parameters,
                    "begin": begin,
                    "end": end,
                    "limit": limit,
                },
            )
            return rows.reverse() if last else rows

        rows = self.history.read("candles", read, begin, end, limit, last=last)
        return encode.candles(rows)

    def newest(self, timeframe: str, markets: Sequence[tuple[str, str]], each: int) -> pl.DataFrame:
        """Return the newest `each` candles of each market, oldest first, and its names."""
        rows = self.ask(
            f"SELECT exchange, symbol, {statements.CANDLE} FROM ohlcv FINAL "
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
        rows = self.ask(statements.CHANGED, {"span": int(span * 1000), "limit": limit})
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

        return self.history.read("trades", read, begin, end, limit, last=last)

    def trades_from(self, market: tuple[str, str], number: int, limit: int) -> pl.DataFrame:
        """Return the first trades (encode.TRADE) whose sequence is `number` or a greater one.

        The minute candles tell where the numbers begin, as the table is not in their order.
        """
        parameters = {"exchange": market[0], "symbol": market[1], "number": number}
        (begin,) = self.ask(statements.MINUTE_OF, parameters)["begin"]

        def read(source: str, begin: datetime, end: datetime, limit: int) -> pl.DataFrame:
            sql = trades_sql(source, has_number=True)
            return self.ask(sql, {**parameters, "begin": begin, "end": end, "limit": limit})

        return self.history.read("trades", read, begin, END_OF_TIME, limit, last=False)

    def gaps(
        self, exchanges: Sequence[str], begin: datetime, end: datetime, limit: int,
        symbols: Sequence[str] = (), states: Sequence[str] = (),
    ) -> pl.DataFrame:  # fmt: skip
        """Return gaps that overlap a time range; of all symbols and states if none are named."""
        named = {"exchanges": list(exchanges), "symbols": list(symbols), "states": list(states)}
        return self.ask(statements.GAPS, {**named, "begin": begin, "end": end, "limit": limit})

    def symbols(self) -> pl.DataFrame:
        """Return all markets that have candles."""
        return self.ask(statements.SYMBOLS)

    def contracts(self) -> pl.DataFrame:
        """Return exchange, symbol, contract_size and contract_unit of markets in contracts."""
        return self._ask_instruments(statements.CONTRACTS, _CONTRACTS)

    def market_facts(self, exchange: str) -> pl.DataFrame:
        """Return symbol, tick (null if unknown) and status of an exchange's instruments."""
        return self._ask_instruments(statements.MARKET_FACTS, _MARKET_FACTS, exchange=exchange)

    def _ask_instruments(self, sql: str, schema: Columns, **parameters: str) -> pl.DataFrame:
        try:
            return self.ask(sql, parameters)
        except QueryError as error:
            # The database is of an older version; the next process that stores creates the table.
            if "UNKNOWN_TABLE" in str(error):
                return pl.DataFrame(schema=schema)
            raise

    def days(self) -> pl.DataFrame:
        """Return the newest day candle of each market."""
        return self.ask(statements.DAYS)

    def feeds(self) -> tuple[pl.DataFrame, dict[str, float | None]]:
        """Return the connections of the last ten minutes and the delay from receipt to storage.

        The delay is in milliseconds, as p50, p95 and p99 of the last minute's trades.
        """
        waits = self.ask(statements.WAITS)
        delays = waits["waits"][0] if waits["trades"][0] else [None] * 3
        rounded = [None if delay is None else round(delay, 1) for delay in delays]
        return self.ask(statements.FEEDS), dict(zip(("p50", "p95", "p99"), rounded, strict=True))

    def cross_check(self) -> dict[str, Any] | None:
        """Return the latest cross-check of all exchanges, as `as_report` forms it.

        None if no exchange was checked within a day.
        """
        try:
            rows = self.ask(statements.CROSS_CHECK)
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
