"""Endpoints of the API: parameters in, rows of the tables or of the cache out."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import polars as pl
from msgspec import UNSET, UnsetType
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.exchanges import EXCHANGES
from candlewax.runtime.times import parse_time
from candlewax.web import encode
from candlewax.web.api import formats, params
from candlewax.web.api.params import EARLIEST, LATEST
from candlewax.web.cache.cache import CandleCache
from candlewax.web.cache.chunks import CandlePage, make_page
from candlewax.web.cache.loader import Loader
from candlewax.web.problem import Problem, bad_parameter
from candlewax.web.queries import Cursor, Series, Store
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
        loader: Loader,
        about: Mapping[str, object],
    ) -> None:
        self._store = store
        self._subscribers = subscribers
        self._cache = cache
        self._loader = loader
        self._about = about
        self._markets: set[tuple[str, str]] = set()

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
        """Return all markets that have candles."""
        parameters = params.read(params.Symbols, request)
        rows = await run_in_threadpool(self._store.symbols)
        if parameters.exchange is not UNSET:
            rows = rows.filter(pl.col("exchange") == parameters.exchange)
        return await self._respond_rows(request, rows, parameters.format)

    async def candles(self, request: Request) -> Response:
        """Return candles of a market."""
        timeframe = request.path_params["timeframe"]
        if timeframe not in TIMEFRAMES:
            raise Problem(
                404, "unknown_timeframe", f"there are {', '.join(TIMEFRAMES)}", "timeframe"
            )
        parameters = params.read(params.Candles, request)
        form = formats.choose_form(request, parameters.format)
        series = Series(parameters.exchange, parameters.symbol, timeframe)
        await self._require_known(parameters)
        page = await self._cached_page(series, parameters)
        if page is None:
            page = await run_in_threadpool(self._stored_page, series, parameters)
        link = None
        if page.count == parameters.limit:
            has_begin = parameters.from_ is not UNSET
            edge = _page_after(page.last, timeframe) if has_begin else _page_before(page.first)
            link = _next_link(request, edge)
        if form == "json":
            return _respond_json(request, page.lines(), link)
        if page.count <= _SHORT:
            body = formats.write_candles(page, form)
        else:
            body = await run_in_threadpool(formats.write_candles, page, form)
        return formats.respond(request, body, form, _headers(link))

    async def _cached_page(self, series: Series, parameters: params.Candles) -> CandlePage | None:
        """Return the requested candles from the cache; None if it does not reach that far back."""
        begin = int(_ceil_second(_time_or(parameters.from_, EARLIEST)).timestamp())
        end = int(_ceil_second(_time_or(parameters.to, LATEST)).timestamp())
        last = parameters.from_ is UNSET
        read_page = partial(self._cache.page, series, begin, end, parameters.limit, last=last)
        self._subscribers.catch_up()
        page = read_page()
        if page is None and self._cache.complete_since(series) is None:
            await self._loader.read(series)
            page = read_page()
        return page

    def _stored_page(self, series: Series, parameters: params.Candles) -> CandlePage:
        begin, end = _time_or(parameters.from_, EARLIEST), _time_or(parameters.to, LATEST)
        last = parameters.from_ is UNSET
        rows = self._store.candles(
            series, _ceil_second(begin), _ceil_second(end), parameters.limit, last=last
        )
        return make_page(rows)

    async def trades(self, request: Request) -> Response:
        """Return trades of a market."""
        parameters = params.read(params.Trades, request)
        form = formats.choose_form(request, parameters.format)
        cursor = _parse_cursor(parameters.cursor)
        await self._require_known(parameters)
        last = parameters.from_ is UNSET
        rows = await run_in_threadpool(
            self._store.trades,
            (parameters.exchange, parameters.symbol),
            _time_or(parameters.from_, EARLIEST),
            _time_or(parameters.to, LATEST),
            parameters.limit,
            cursor,
            last=last,
        )
        link = None
        if rows.height == parameters.limit:
            edge = rows.row(0 if last else -1, named=True)
            link = _next_link(request, {"cursor": _cursor_text(edge)})
        return await self._respond_rows(request, rows, form, link)

    async def gaps(self, request: Request) -> Response:
        """Return gaps in the sequences of trades."""
        parameters = params.read(params.Gaps, request)
        exchanges = list(EXCHANGES) if parameters.exchange is UNSET else [str(parameters.exchange)]
        symbol = "" if parameters.symbol is UNSET else str(parameters.symbol)
        begin, end = _time_or(parameters.from_, EARLIEST), _time_or(parameters.to, LATEST)
        rows = await run_in_threadpool(
            self._store.gaps, exchanges, symbol, begin, end, parameters.limit
        )
        return await self._respond_rows(request, rows, parameters.format)

    async def health(self, request: Request) -> Response:
        """Return the status of feeds, database and cross-check."""
        params.read(params.Nothing, request)
        return formats.respond(request, self._subscribers.health(), "json")

    async def stream(self, request: Request) -> Response:
        """Return a stream of server-sent events about one market."""
        parameters = params.read(params.Stream, request)
        client = StreamClient(Series(parameters.exchange, parameters.symbol, parameters.timeframe))
        self._subscribers.add(client)

        async def events() -> AsyncIterator[bytes]:
            yield b"retry: 1000\n\n"
            while (event := await client.next(PATIENCE)) is not None:
                yield event

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        answer = StreamingResponse(events(), 200, headers, "text/event-stream")
        return _StreamResponse(answer, lambda: self._subscribers.remove(client))

    async def _require_known(self, market: params.Market) -> None:
        """Raise Problem if nothing was ever stored of a market."""
        key = (market.exchange, market.symbol)
        if key in self._markets or key in self._subscribers.markets:
            return
        rows = await run_in_threadpool(self._store.symbols)
        self._markets = set(rows.select("exchange", "symbol").rows())
        if key not in self._markets:
            text = f"nothing is stored of {market.symbol} at {market.exchange}"
            raise Problem(404, "unknown_market", text, "symbol")

    async def _respond_rows(
        self,
        request: Request,
        rows: pl.DataFrame,
        form: str | UnsetType,
        link: str | None = None,
    ) -> Response:
        form = formats.choose_form(request, form)
        if form == "json":
            return _respond_json(request, await run_in_threadpool(encode.lines, rows), link)
        body = await run_in_threadpool(formats.write, rows, form)
        return formats.respond(request, body, form, _headers(link))


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


def _respond_json(request: Request, lines: list[bytes], link: str | None) -> Response:
    body = b'{"data":' + encode.array(lines) + b',"next":' + msgspec.json.encode(link) + b"}"
    return formats.respond(request, body, "json", _headers(link))


def _headers(link: str | None) -> dict[str, str]:
    return {"Link": f'<{link}>; rel="next"'} if link else {}


def _next_link(request: Request, changes: Mapping[str, str]) -> str:
    """Return the address of the request with some parameters changed."""
    parameters = {**request.query_params, **changes}
    return f"{request.url.path}?{urlencode(parameters)}"


def _time_or(time: datetime | UnsetType, default: datetime) -> datetime:
    return time if isinstance(time, datetime) else default


def _ceil_second(time: datetime) -> datetime:
    """Return the time rounded up to a whole second, as candles begin on whole seconds."""
    return datetime.fromtimestamp(-int(-time.timestamp() // 1), UTC)


def _page_before(first: int) -> dict[str, str]:
    """Return the parameter that ends the page before a candle."""
    return {"to": f"{datetime.fromtimestamp(first, UTC):%Y-%m-%dT%H:%M:%SZ}"}


def _page_after(last: int, timeframe: str) -> dict[str, str]:
    """Return the parameter that begins the page after a candle."""
    return {"from": str(last + TIMEFRAMES[timeframe][1] // 1_000_000)}


def _cursor_text(trade: Mapping[str, Any]) -> str:
    return f"{trade['timestamp']:%Y-%m-%dT%H:%M:%S.%f}~{trade['sequence']}~{trade['trade_id']}"


def _parse_cursor(text: str | UnsetType) -> Cursor | None:
    if text is UNSET:
        return None
    try:
        time, sequence, trade_id = str(text).split("~", 2)
        at = parse_time(f"{time}Z")
        number = int(sequence)
    except ValueError:
        raise bad_parameter("cursor", "takes the value from the link to a next page") from None
    if not (EARLIEST <= at < LATEST and 0 <= number < 1 << 64):
        raise bad_parameter("cursor", "takes the value from the link to a next page")
    return Cursor(at, number, trade_id)
