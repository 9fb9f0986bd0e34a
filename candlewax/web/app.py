"""Routes and error handling of the web application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from candlewax.clickhouse.client import BusyError, UnavailableError
from candlewax.web import problem
from candlewax.web.api import formats, params
from candlewax.web.api.bars import BarsApi
from candlewax.web.api.consolidated import ConsolidatedApi
from candlewax.web.api.endpoints import Api
from candlewax.web.api.openapi import document
from candlewax.web.api.reconciliations import ReconciliationsApi
from candlewax.web.binance_api.endpoints import BinanceApi
from candlewax.web.binance_api.routes import routes as binance_routes
from candlewax.web.cache.cache import CandleCache
from candlewax.web.cache.loader import Loader
from candlewax.web.candle_reader import CandleReader
from candlewax.web.delivery import Delivery
from candlewax.web.markets import Markets
from candlewax.web.prefix import Prefix
from candlewax.web.problem import Problem
from candlewax.web.queries import Store
from candlewax.web.request_guard import Guard
from candlewax.web.sql.endpoint import Reader, Sql
from candlewax.web.stream.socket import StreamSocket
from candlewax.web.stream.subscribers import Subscribers

STATIC: Final = Path(__file__).with_name("static")

BASE: Final = "/api/v1"


BackgroundTask = Callable[[], Coroutine[object, object, None]]
"""Returns a coroutine that runs while the application serves; cancelled at its end."""


def build_app(
    store: Store,
    subscribers: Subscribers,
    cache: CandleCache,
    reader: Reader | None,
    background: Sequence[BackgroundTask],
    *,
    feed_title: str,
    names: Collection[str] = (),
    prefix: str = "",
) -> Starlette:
    """Return the application: page, API, and SQL if there is a reader.

    `feed_title` names the data source in the API. `names` are other host names of this server.
    All addresses are below `prefix`, as `/candlewax`; empty for none.
    """
    about = {"name": "candlewax", "feed": feed_title}
    loader = Loader(store, cache, lambda: subscribers.markets)
    markets = Markets(store, subscribers)
    reader_of_candles = CandleReader(store, subscribers, cache, loader)
    api = Api(store, subscribers, cache, markets, reader_of_candles, about)
    consolidated = ConsolidatedApi(store, subscribers, markets)
    reconciliations = ReconciliationsApi(store, markets)
    bars = BarsApi(store, markets)
    deliver = Delivery().wrap
    sql = Sql(reader)
    openapi_json = msgspec.json.encode(document(BASE, prefix))

    async def openapi(request: Request) -> Response:
        params.read(params.Nothing, request)
        return formats.respond(request, openapi_json, "json")

    async def root(request: Request) -> Response:
        """Return the page, or the result of the query in a request that holds one."""
        if request.method == "POST" or "query" in request.query_params:
            return await sql.answer(request)
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    routes = [
        Route(BASE, deliver(api.about)),
        Route(f"{BASE}/exchanges", deliver(api.exchanges)),
        Route(f"{BASE}/symbols", deliver(api.symbols)),
        Route(f"{BASE}/ohlcv/{{timeframe}}", deliver(api.candles)),
        Route(f"{BASE}/consolidated/{{timeframe}}", deliver(consolidated.candles)),
        Route(f"{BASE}/bars", deliver(bars.bars)),
        Route(f"{BASE}/trades", deliver(api.trades)),
        Route(f"{BASE}/gaps", deliver(api.gaps)),
        Route(f"{BASE}/reconciliations", deliver(reconciliations.comparisons)),
        Route(f"{BASE}/tickers", deliver(api.tickers)),
        Route(f"{BASE}/health", api.health),
        Route(f"{BASE}/stream", api.stream),
        WebSocketRoute(f"{BASE}/stream", StreamSocket(subscribers).answer),
        *binance_routes(BinanceApi(store, subscribers, markets, reader_of_candles), deliver),
        Route("/docs", _file("docs.html")),
        Route("/openapi.json", deliver(openapi)),
        Route("/ping", sql.ping),
        Route("/", root, methods=["GET", "POST"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = [asyncio.create_task(start_task()) for start_task in (*background, loader.run)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, names=names), Middleware(Prefix, prefix=prefix)],
        exception_handlers={
            Problem: problem.handle,
            HTTPException: _framework_error,
            UnavailableError: _unavailable,
            Exception: _unexpected_error,
        },
        lifespan=lifespan,
    )


def _file(name: str) -> Callable[[Request], FileResponse]:
    def answer(_: Request) -> FileResponse:
        return FileResponse(STATIC / name, headers={"Cache-Control": "no-cache"})

    return answer


async def _framework_error(request: Request, error: Exception) -> Response:
    """Return an HTTP error of the framework as a problem of this API."""
    http_error = cast(HTTPException, error)
    codes = {404: "not_found", 405: "method_not_allowed"}
    messages = {404: f"there is nothing at {request.url.path}", 405: "this address is read-only"}
    status = http_error.status_code
    code, message = codes.get(status, "refused"), messages.get(status, http_error.detail)
    return problem.answer(Problem(status, code, message), http_error.headers)


async def _unavailable(_: Request, error: Exception) -> Response:
    """Return 503 with Retry-After: the database is out of reach or busy."""
    code = "database_busy" if isinstance(error, BusyError) else "database_away"
    return problem.answer(Problem(503, code, str(error)), {"Retry-After": "2"})


async def _unexpected_error(_: Request, __: Exception) -> Response:
    """Return 500 for an unexpected error; Starlette re-raises it, so that it is logged."""
    return problem.answer(Problem(500, "failed", "this failed; the log says why"))
