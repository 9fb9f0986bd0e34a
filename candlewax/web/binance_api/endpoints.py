"""Endpoints in Binance's shape: klines, trades, markets and tickers of one exchange."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import polars as pl
from msgspec import UnsetType
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from candlewax.core.market_names import binance_name
from candlewax.exchanges import EXCHANGES
from candlewax.web import tickers
from candlewax.web.api import formats, params
from candlewax.web.api.params import EARLIEST, LATEST
from candlewax.web.binance_api import queries, rows
from candlewax.web.candle_reader import CandleReader, Wish
from candlewax.web.markets import Markets
from candlewax.web.problem import Problem, bad_parameter
from candlewax.web.queries import Series, Store
from candlewax.web.stream.subscribers import Subscribers

DEFAULT: Final = "binance"
"""Exchange of the addresses without an exchange in their path."""

_MS: Final = timedelta(milliseconds=1)


class BinanceApi:
    """Handlers of the requests in Binance's shape."""

    def __init__(
        self, store: Store, subscribers: Subscribers, markets: Markets, reader: CandleReader
    ) -> None:
        self._store = store
        self._subscribers = subscribers
        self._markets = markets
        self._reader = reader

    async def ping(self, request: Request) -> Response:
        """Return an empty object."""
        params.read(queries.Query, request)
        _exchange(request)
        return _respond(request, b"{}")

    async def time(self, request: Request) -> Response:
        """Return the time of this machine."""
        params.read(queries.Query, request)
        _exchange(request)
        return _respond(request, b'{"serverTime":%d}' % _now_ms())

    async def klines(self, request: Request) -> Response:
        """Return candles of a market."""
        asked = params.read(queries.Klines, request)
        exchange, symbol = await self._market(request, asked.symbol)
        if asked.time_zone not in {"0", "0:00", "00:00", "+0", "-0"}:
            raise bad_parameter(
                "timeZone", f"takes 0, as candles are in UTC; got {asked.time_zone}"
            )
        begin, end = _span(asked.start_time, asked.end_time)
        if end <= begin:
            return _respond(request, b"[]")
        last = isinstance(asked.start_time, UnsetType)
        wish = Wish(begin, end, min(asked.limit, queries.MOST_ROWS), last)
        page = await self._reader.read(Series(exchange, symbol, asked.interval), wish)
        return _respond(request, rows.klines(page, asked.interval))

    async def trades(self, request: Request) -> Response:
        """Return the last trades of a market."""
        asked = params.read(queries.Trades, request)
        exchange, symbol = await self._market(request, asked.symbol)
        found = await self._last_trades((exchange, symbol), EARLIEST, LATEST, asked.limit)
        return await _respond_trades(request, rows.trades, found)

    async def historical_trades(self, request: Request) -> Response:
        """Return trades of a market from an id on."""
        asked = params.read(queries.HistoricalTrades, request)
        market = await self._market(request, asked.symbol)
        if isinstance(asked.from_id, UnsetType):
            found = await self._last_trades(market, EARLIEST, LATEST, asked.limit)
        else:
            found = await self._trades_from(market, asked.from_id, asked.limit)
        return await _respond_trades(request, rows.trades, found)

    async def agg_trades(self, request: Request) -> Response:
        """Return trades of a market from an id or a time on, each as an aggregate of its own."""
        asked = params.read(queries.AggTrades, request)
        market = await self._market(request, asked.symbol)
        begin, end = _span(asked.start_time, asked.end_time)
        if not isinstance(asked.from_id, UnsetType):
            if (begin, end) != (EARLIEST, LATEST):
                text = "takes no startTime and no endTime beside it"
                raise Problem(400, "bad_combination", text, "fromId")
            found = await self._trades_from(market, asked.from_id, asked.limit)
        elif isinstance(asked.start_time, UnsetType):
            found = await self._last_trades(market, begin, end, asked.limit)
        else:
            found = await self._trades(market, begin, end, asked.limit, last=False)
        return await _respond_trades(request, rows.agg_trades, found)

    async def exchange_info(self, request: Request) -> Response:
        """Return the stored markets."""
        asked = params.read(queries.ExchangeInfo, request)
        names = await self._names(request, asked.symbol, asked.symbols)
        exchange = _exchange(request)
        rows_of_facts = await run_in_threadpool(self._store.market_facts, exchange)
        facts = {row["symbol"]: row for row in rows_of_facts.iter_rows(named=True)}
        known = self._subscribers.last_trades()
        body = {
            "timezone": "UTC",
            "serverTime": _now_ms(),
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": [
                rows.market(
                    name,
                    symbol,
                    known[exchange, symbol].price if (exchange, symbol) in known else None,
                    facts.get(symbol),
                )
                for symbol, name in names.items()
            ],
        }
        return _respond(request, msgspec.json.encode(body))

    async def ticker_price(self, request: Request) -> Response:
        """Return latest prices, from memory."""
        asked = params.read(queries.Tickers, request)
        names = await self._names(request, asked.symbol, asked.symbols)
        exchange = _exchange(request)
        self._subscribers.catch_up()
        known = self._subscribers.last_trades()
        written = [
            rows.price(name, known[exchange, symbol].price)
            for symbol, name in names.items()
            if (exchange, symbol) in known
        ]
        return _respond_some(request, written, asked)

    async def ticker_day(self, request: Request) -> Response:
        """Return statistics of 24 hours."""
        asked = params.read(queries.Tickers, request)
        names = await self._names(request, asked.symbol, asked.symbols)
        exchange = _exchange(request)
        self._subscribers.catch_up()
        known = self._subscribers.last_trades()
        found = await run_in_threadpool(tickers.read, self._store, known)
        written = [
            rows.day(names[row["symbol"]], row)
            for row in found.iter_rows(named=True)
            if row["exchange"] == exchange and row["symbol"] in names
        ]
        return _respond_some(request, written, asked)

    async def _market(self, request: Request, name: str) -> tuple[str, str]:
        """Return exchange and unified symbol of a market. Raises Problem."""
        exchange = _exchange(request)
        return exchange, await self._markets.find(exchange, name)

    async def _names(
        self, request: Request, symbol: str | UnsetType, symbols: str | UnsetType
    ) -> dict[str, str]:
        """Return the names of the markets that are asked for by unified symbol. Raises Problem."""
        exchange = _exchange(request)
        wanted: Iterable[str]
        if not isinstance(symbol, UnsetType):
            if not isinstance(symbols, UnsetType):
                raise Problem(400, "bad_combination", "takes no symbol beside it", "symbols")
            wanted = [await self._markets.find(exchange, symbol)]
        elif not isinstance(symbols, UnsetType):
            wanted = await self._markets.find_all(exchange, _parse_names(symbols))
        else:
            wanted = [found for place, found in await self._markets.all() if place == exchange]
        return {one: binance_name(one) for one in wanted}

    async def _last_trades(
        self, market: tuple[str, str], begin: datetime, end: datetime, limit: int
    ) -> pl.DataFrame:
        return await self._trades(market, begin, end, limit, last=True)

    async def _trades(
        self, market: tuple[str, str], begin: datetime, end: datetime, limit: int, *, last: bool
    ) -> pl.DataFrame:
        limit = min(limit, queries.MOST_ROWS)
        read = self._store.trades
        return await run_in_threadpool(read, market, begin, end, limit, last=last)

    async def _trades_from(self, market: tuple[str, str], number: int, limit: int) -> pl.DataFrame:
        limit = min(limit, queries.MOST_ROWS)
        found = await run_in_threadpool(self._store.trades_from, market, number, limit)
        if found.is_empty():
            newest = await self._last_trades(market, EARLIEST, LATEST, 1)
            if newest.height and not newest["sequence"][0]:
                text = f"{market[0]} does not number the trades of {market[1]}: ask by startTime"
                raise bad_parameter("fromId", text)
        return found


def _respond_some(
    request: Request, written: list[dict[str, Any]], asked: queries.Tickers
) -> Response:
    """Return the only ticker that was asked for, or a list. Raises Problem if it has no trade."""
    if isinstance(asked.symbol, UnsetType):
        return _respond(request, msgspec.json.encode(written))
    if not written:
        raise Problem(404, "unknown_market", f"no trade of {asked.symbol} is known", "symbol")
    return _respond(request, msgspec.json.encode(written[0]))


def _exchange(request: Request) -> str:
    exchange = str(request.path_params.get("exchange", DEFAULT))
    if exchange not in EXCHANGES:
        text = f"takes one of {', '.join(EXCHANGES)}; got {exchange[:100]!r}"
        raise Problem(404, "unknown_exchange", text, "exchange")
    return exchange


def _span(
    start_time: datetime | UnsetType, end_time: datetime | UnsetType
) -> tuple[datetime, datetime]:
    """Return begin, inclusive, and end, exclusive, of a span whose end is inclusive."""
    begin = EARLIEST if isinstance(start_time, UnsetType) else max(EARLIEST, start_time)
    end = LATEST if isinstance(end_time, UnsetType) else min(LATEST - _MS, end_time) + _MS
    return min(begin, LATEST), end


def _parse_names(text: str) -> Sequence[str]:
    try:
        return msgspec.convert(json.loads(text), list[str])
    except (ValueError, msgspec.ValidationError):
        text = f'takes a JSON array, as ["BTCUSDT","ETHUSDT"]; got {text[:100]!r}'
        raise bad_parameter("symbols", text) from None


async def _respond_trades(
    request: Request, write: Callable[[pl.DataFrame], bytes], found: pl.DataFrame
) -> Response:
    return _respond(request, await run_in_threadpool(write, found))


def _respond(request: Request, body: bytes) -> Response:
    return formats.respond(request, body, "json")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
