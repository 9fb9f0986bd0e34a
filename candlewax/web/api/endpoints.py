"""Endpoints of the API: parameters in, rows of the tables or of the cache out."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec
import polars as pl
from msgspec import UNSET, UnsetType
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from candlewax.core.market_facts import kind_of
from candlewax.exchanges import EXCHANGES
from candlewax.web import encode, tickers
from candlewax.web.api import candle_rows, formats, links, params
from candlewax.web.cache.cache import CandleCache
from candlewax.web.candle_reader import CandleReader, Wish
from candlewax.web.markets import Markets
from candlewax.web.problem import bad_parameter
from candlewax.web.queries import Series, Store
from candlewax.web.selection import Selection
from candlewax.web.stream.client import StreamClient
from candlewax.web.stream.subscribers import Subscribers

_SHORT: Final = 1_000
"""Candles that the event loop encodes itself; waking another thread may take longer."""

PATIENCE: Final = 15.0
"""Seconds of silence after which a stream sends a comment to show that it is alive."""


class Api:
    """Handlers of API requests over the tables and the cache of candles."""

    def __init__(
        self,
        store: Store,
        subscribers: Subscribers,
        cache: CandleCache,
        markets: Markets,
        reader: CandleReader,
        about: Mapping[str, object],
    ) -> None:
        self._store = store
        self._subscribers = subscribers
        self._cache = cache
        self._markets = markets
        self._reader = reader
        self._about = about

    async def about(self, request: Request) -> Response:
        """Return the name of this server, its data source and how many candles are in memory."""
        params.read(params.Nothing, request)
        about = {**self._about, "candles_in_memory": self._cache.count}
        return formats.respond(request, msgspec.json.encode(about), "json")

    async def exchanges(self, request: Request) -> Response:
        """Return all exchanges with the number of markets and trades stored of each."""
        parameters = params.read(params.Parameters, request)
        rows = await run_in_threadpool(self._store.symbols)
        counts = rows.group_by("exchange").agg(symbols=pl.len(), trades=pl.col("trades").sum())
        exchanges = pl.DataFrame({"exchange": list(EXCHANGES)})
        rows = exchanges.join(counts, on="exchange", how="left", maintain_order="left")
        return await self._respond_rows(request, rows.fill_null(0), parameters.format)

    async def symbols(self, request: Request) -> Response:
        """Return all markets that have candles, with their kind and the size of contracts."""
        parameters = params.read(params.SymbolList, request)
        rows = await run_in_threadpool(self._store.symbols)
        contracts = await run_in_threadpool(self._store.contracts)
        rows = rows.join(
            contracts, on=["exchange", "symbol"], how="left", maintain_order="left"
        ).with_columns(
            kind=pl.Series([kind_of(symbol).value for symbol in rows["symbol"]], dtype=pl.String)
        )
        if parameters.exchange is not UNSET:
            rows = rows.filter(pl.col("exchange") == parameters.exchange)
        return await self._respond_rows(request, rows, parameters.format)

    async def candles(self, request: Request) -> Response:
        """Return candles of a market."""
        timeframe = params.path_timeframe(request)
        parameters = params.read(params.Candles, request)
        form = formats.choose_form(request, parameters.format)
        limit = _limit_each(request, parameters)
        exchange, last = parameters.exchange, parameters.is_last
        symbols = await self._markets.find_all(exchange, parameters.symbol)
        wish = Wish(
            parameters.begin, parameters.end, limit, last, _selection(parameters, timeframe)
        )
        pages = [
            await self._reader.read(Series(exchange, symbol, timeframe), wish) for symbol in symbols
        ]
        edge = links.edge(pages, limit, last=last)
        link = None
        if edge is not None:
            changes = links.after_candles(edge, timeframe, parameters, last=last)
            link = links.next_link(request, changes)
        if len(pages) > 1:
            pages = [candle_rows.up_to(page, edge, last=last) for page in pages]
        if parameters.order == "desc":
            pages = [candle_rows.turned(page) for page in pages]
        found = [
            candle_rows.MarketCandles(exchange, *one) for one in zip(symbols, pages, strict=True)
        ]
        is_named = len(parameters.symbol) > 1
        if form == "json":
            lines = candle_rows.json_lines(found) if is_named else pages[0].lines()
            return formats.respond_lines(request, lines, link, symbols)
        write = candle_rows.write if is_named else candle_rows.write_only
        if sum(page.count for page in pages) <= _SHORT:
            body = write(found, form)
        else:
            body = await run_in_threadpool(write, found, form)
        return formats.respond(request, body, form, formats.link_headers(link))

    async def trades(self, request: Request) -> Response:
        """Return trades of a market."""
        parameters = params.read(params.Trades, request)
        form = formats.choose_form(request, parameters.format)
        cursor = links.parse_cursor(parameters.cursor)
        symbol = await self._markets.find(parameters.exchange, parameters.symbol)
        last = parameters.is_last
        rows = await run_in_threadpool(
            self._store.trades,
            (parameters.exchange, symbol),
            parameters.begin,
            parameters.end,
            parameters.limit,
            cursor,
            last=last,
        )
        link = None
        if rows.height == parameters.limit:
            edge = rows.row(0 if last else -1, named=True)
            link = links.next_link(request, {"cursor": links.cursor_text(edge)})
        if parameters.order == "desc":
            rows = rows.reverse()
        return await self._respond_rows(request, rows, form, link, [symbol])

    async def gaps(self, request: Request) -> Response:
        """Return gaps in the sequences of trades."""
        parameters = params.read(params.Gaps, request)
        exchanges = list(EXCHANGES) if parameters.exchange is UNSET else [str(parameters.exchange)]
        rows = await run_in_threadpool(
            self._store.gaps, exchanges, parameters.begin, parameters.end, parameters.limit,
            self._named(exchanges, parameters.symbol),
            [] if isinstance(parameters.state, UnsetType) else parameters.state,
        )  # fmt: skip
        if parameters.order == "desc":
            rows = rows.reverse()
        return await self._respond_rows(request, rows, parameters.format)

    async def tickers(self, request: Request) -> Response:
        """Return latest prices and statistics of 24 hours."""
        parameters = params.read(params.Tickers, request)
        exchanges = list(EXCHANGES) if parameters.exchange is UNSET else [str(parameters.exchange)]
        if parameters.exchange is not UNSET and not isinstance(parameters.symbol, UnsetType):
            symbols = await self._markets.find_all(exchanges[0], parameters.symbol)
        else:
            symbols = self._named(exchanges, parameters.symbol)
        self._subscribers.catch_up()
        last_trades = self._subscribers.last_trades()
        rows = await run_in_threadpool(tickers.read, self._store, last_trades)
        rows = rows.filter(pl.col("exchange").is_in(exchanges))
        if symbols:
            rows = rows.filter(pl.col("symbol").is_in(symbols))
        return await self._respond_rows(request, rows, parameters.format)

    def _named(self, exchanges: Sequence[str], names: Sequence[str] | UnsetType) -> list[str]:
        """Return the unified symbols of names, as far as they are known; none for all."""
        if isinstance(names, UnsetType):
            return []
        return [symbol for name in names for symbol in self._markets.spell(exchanges, name)]

    async def health(self, request: Request) -> Response:
        """Return the status of feeds, database and cross-check."""
        params.read(params.Nothing, request)
        return formats.respond(request, self._subscribers.health(), "json")

    async def stream(self, request: Request) -> Response:
        """Return a stream of server-sent events about one market."""
        parameters = params.read(params.Stream, request)
        # The stream of a market of which nothing is stored waits for it.
        (symbol, *_) = self._markets.spell([parameters.exchange], parameters.symbol)
        client = StreamClient(Series(parameters.exchange, symbol, parameters.timeframe))
        self._subscribers.add(client)

        async def events() -> AsyncIterator[bytes]:
            yield b"retry: 1000\n\n"
            while (event := await client.next(PATIENCE)) is not None:
                yield event

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        answer = StreamingResponse(events(), 200, headers, "text/event-stream")
        return _StreamResponse(answer, lambda: self._subscribers.remove(client))

    async def _respond_rows(
        self,
        request: Request,
        rows: pl.DataFrame,
        form: str | UnsetType,
        link: str | None = None,
        symbols: Sequence[str] = (),
    ) -> Response:
        form = formats.choose_form(request, form)
        if form == "json":
            lines = await run_in_threadpool(encode.lines, rows)
            return formats.respond_lines(request, lines, link, symbols)
        body = await run_in_threadpool(formats.write, rows, form)
        return formats.respond(request, body, form, formats.link_headers(link))


class _StreamResponse(Response):
    """Streaming response with a callback at its end, even if the client left before any event."""

    def __init__(self, stream: StreamingResponse, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._stream(scope, receive, send)
        finally:
            self._on_end()


def _limit_each(request: Request, parameters: params.Candles) -> int:
    """Return how many candles each market may have. Raises Problem."""
    most = params.MOST_ROWS // len(parameters.symbol)
    if parameters.limit > most and "limit" in request.query_params:
        text = f"takes a whole number from 1 to {most} for {len(parameters.symbol)} symbols"
        raise bad_parameter("limit", f"{text}; got {parameters.limit}")
    return min(parameters.limit, most)


def _selection(parameters: params.Candles, timeframe: str) -> Selection:
    """Return the selection of a request. Raises Problem."""
    closed = None if isinstance(parameters.closed, UnsetType) else parameters.closed
    statuses = None if isinstance(parameters.status, UnsetType) else set(parameters.status)
    reconciled = (
        None if isinstance(parameters.reconciled, UnsetType) else set(parameters.reconciled)
    )
    if reconciled is not None and timeframe != "1m":
        raise bad_parameter("reconciled", f"takes the timeframe 1m; got {timeframe}")
    return Selection(closed, statuses, reconciled)
