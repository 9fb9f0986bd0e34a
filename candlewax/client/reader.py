"""Reader of stored candles and trades in pages, of any database that can be queried.

A page is at most PAGE_ROWS rows of one market, so a query of `candlewax up` stays within its
limits and the memory of the reader does not grow with the length of a history.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.client.request import CANDLE, TRADE, Market, RequestError, Span
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.market_names import fold, other_names
from candlewax.core.schema import TIME

PAGE_ROWS: Final = 100_000

_EXPRESSIONS: Final = {
    "exchange": "toString(r.exchange)",
    "symbol": "toString(r.symbol)",
    "timeframe": "toString(r.timeframe)",
    "window_start": "toDateTime64(r.window_start, 6, 'UTC')",
    "vwap": "toDecimal128(divideDecimal(r.quote_volume, r.volume, 12), 12)",
    "status": "toString(r.status)",
    "side": "toString(r.side)",
    "kind": "toString(r.kind)",
    "open_time": "toDateTime64(r.open_time, 6, 'UTC')",
    "close_time": "toDateTime64(r.close_time, 6, 'UTC')",
    "timestamp": "toDateTime64(r.timestamp, 6, 'UTC')",
    "received_at": "toDateTime64(r.received_at, 6, 'UTC')",
}
"""Expressions of columns that are not read as they are."""

_CANDLES: Final = """
WHERE exchange = {exchange:String} AND symbol = {symbol:String} AND timeframe = {timeframe:String}
    AND r.window_start >= {begin:DateTime('UTC')} AND r.window_start < {end:DateTime('UTC')}
    AND (closed OR NOT {closed:Bool}) AND (status = 'complete' OR NOT {complete:Bool})
"""

_TRADES: Final = """
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND r.timestamp >= {begin:DateTime64(6, 'UTC')} AND r.timestamp < {end:DateTime64(6, 'UTC')}
    AND (r.timestamp, sequence, trade_id) >
        ({at:DateTime64(6, 'UTC')}, {number:UInt64}, {id:String})
ORDER BY r.timestamp, sequence, trade_id LIMIT {limit:UInt32}
"""

_MARKETS: Final = """
SELECT toString(exchange) AS exchange, toString(symbol) AS symbol,
    sum(trade_count) AS trade_count,
    toDateTime64(min(r.open_time), 6, 'UTC') AS first_trade,
    toDateTime64(max(r.close_time), 6, 'UTC') AS last_trade
FROM %s
WHERE timeframe = '1d'
GROUP BY exchange, symbol
ORDER BY exchange, symbol
"""

_VIEWS: Final = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND name IN ('candles', 'trades')
"""

_TABLES: Final = {"candles": "ohlcv", "trades": "silver_trades"}
"""Tables by the views that also read the archive, which a database with a cold tier has."""

_DAY: Final = timedelta(days=1)

_EARLIEST: Final = datetime(2009, 1, 3, tzinfo=UTC)
"""The first block of Bitcoin: no crypto trade is older."""

_FIRST_SPAN: Final = timedelta(hours=1)
"""Span of the first query for trades; it doubles while the pages are far from full."""


class Reader:
    """Reader of one database, which is open in `database`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        views = set(database.query(_VIEWS)["name"])
        self._sources = {
            view: f"{view} AS r" if view in views else f"{table} AS r FINAL"
            for view, table in _TABLES.items()
        }

    def markets(self) -> pl.DataFrame:
        """Return the markets that have candles.

        Columns: exchange, symbol, trade_count, first_trade and last_trade (times in UTC).
        """
        return _with_times(self.database.query(_MARKETS % self._sources["candles"]))

    def select_markets(self, exchanges: Sequence[str], symbols: Sequence[str]) -> list[Market]:
        """Return the markets of these names that have candles; no name stands for all.

        Raises RequestError for a name that no market has, or that several of an exchange may have.
        """
        known = [Market(*names) for names in self.markets().select("exchange", "symbol").rows()]
        if not known:
            raise RequestError("no candles are stored")
        for exchange in exchanges:
            if exchange not in (names := sorted({market.exchange for market in known})):
                raise _unknown("exchange", exchange, names)
        known = [market for market in known if not exchanges or market.exchange in exchanges]
        found = {market: None for name in symbols for market in _meant(name, known)}
        return sorted(found) if symbols else known

    def candles(
        self,
        market: Market,
        timeframe: str,
        span: Span,
        *,
        closed: bool = False,
        complete: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Yield pages of candles (CANDLE) that begin in a time range, oldest first.

        `closed`: none that is still forming. `complete`: only those that are proven to be complete.
        """
        if timeframe not in TIMEFRAMES:
            raise RequestError(f"timeframe: got {timeframe!r}, takes {', '.join(TIMEFRAMES)}")
        names = market._asdict() | {"timeframe": timeframe}
        begin, end = self.clip(market, span)
        seconds = TIMEFRAMES[timeframe][1] // 1_000_000
        step = timedelta(seconds=seconds * PAGE_ROWS)
        choice = names | {"closed": closed, "complete": complete}
        while begin < end:
            until = min(begin + step, end)
            rows = self.database.query(
                f"SELECT {select_columns(CANDLE)} FROM {self._sources['candles']} "
                f"{_CANDLES} ORDER BY r.window_start",
                choice | {"begin": _to_second(begin), "end": _to_second(until)},
            )
            if rows.height:
                yield rows.cast(CANDLE)  # type: ignore[arg-type]
            begin = until

    def count(self, market: Market, timeframe: str, span: Span) -> int:
        """Return how many candles begin in a time range, whatever their state."""
        names = market._asdict() | {"timeframe": timeframe}
        begin, end = self.clip(market, span)
        found = self.database.query(
            f"SELECT count() AS rows FROM {self._sources['candles']} {_CANDLES}",
            names | {"begin": begin, "end": end, "closed": False, "complete": False},
        )
        return int(found["rows"][0])

    def trades(self, market: Market, span: Span) -> Iterator[pl.DataFrame]:
        """Yield pages of trades (TRADE) of a time range, in order of time and number."""
        begin, end = self.clip(market, span)
        length = _FIRST_SPAN
        while begin < end:
            until = min(begin + length, end)
            fullest = 0
            for page in self._trades_between(market, begin, until):
                fullest = max(fullest, page.height)
                yield page
            begin = until
            if fullest < PAGE_ROWS // 4:
                length *= 2
            elif fullest == PAGE_ROWS:
                length /= 2

    def _trades_between(
        self, market: Market, begin: datetime, end: datetime
    ) -> Iterator[pl.DataFrame]:
        after = {"at": begin - timedelta(microseconds=1), "number": 0, "id": ""}
        while True:
            rows = self.database.query(
                f"SELECT {select_columns(TRADE)} FROM {self._sources['trades']} {_TRADES}",
                market._asdict() | {"begin": begin, "end": end, "limit": PAGE_ROWS} | after,
            )
            page = rows.cast(TRADE)  # type: ignore[arg-type]
            if page.height:
                yield page
            if page.height < PAGE_ROWS:
                return
            names = zip(("at", "number", "id"), ("timestamp", "sequence", "trade_id"), strict=True)
            after = {name: page[column][-1] for name, column in names}

    def clip(self, market: Market, span: Span) -> tuple[datetime, datetime]:
        """Return the part of a time range that may hold rows of a market, by its day candles."""
        found = self.markets().filter(exchange=market.exchange, symbol=market.symbol)
        # Without a day candle, as in a database that was just recovered: all that may be archived.
        first, last = _EARLIEST, datetime.now(UTC)
        if found.height:
            first, last = found.select("first_trade", "last_trade").row(0)
        begin, end = first - _DAY, last + 2 * _DAY
        return max(span.begin or begin, begin), min(span.end or end, end)


def select_columns(names: Iterable[str]) -> str:
    """Return the list of a SELECT from a table or view that is named `r`."""
    return ", ".join(f"{_EXPRESSIONS.get(name, f'r.{name}')} AS {name}" for name in names)


def _with_times(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.col(name).cast(TIME) for name, kind in rows.schema.items() if kind == pl.Datetime
    )


def _to_second(time: datetime) -> datetime:
    """Return the first whole second that is not before a time: candles begin at such."""
    return time if not time.microsecond else time.replace(microsecond=0) + timedelta(seconds=1)


def _meant(name: str, known: Sequence[Market]) -> list[Market]:
    """Return the markets that a name means, at most one of each exchange. Raises RequestError."""
    if exact := [market for market in known if market.symbol == name]:
        return exact
    found = [market for market in known if fold(name) in other_names(market.symbol)]
    if not found:
        raise _unknown("symbol", name, sorted({market.symbol for market in known}))
    if len({market.exchange for market in found}) < len(found):
        raise RequestError(f"symbol: got {name!r}, which may be {' or '.join(map(str, found))}")
    return found


def _unknown(kind: str, name: str, known: Sequence[str]) -> RequestError:
    folded = {fold(one): one for one in known}
    similar = difflib.get_close_matches(fold(name), folded, cutoff=0.5) or list(folded)[:10]
    names = ", ".join(folded[one] for one in similar)
    return RequestError(f"{kind}: got {name!r}, takes one that is stored, such as {names}")
