"""The application: which address leads where."""

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
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from candlewax.clickhouse.client import Busy, Unavailable
from candlewax.web import problem
from candlewax.web.api import formats, params
from candlewax.web.api.endpoints import Api
from candlewax.web.api.openapi import document
from candlewax.web.cache.cache import CandleCache
from candlewax.web.cache.loader import Loader
from candlewax.web.problem import Problem
from candlewax.web.queries import Store
from candlewax.web.request_guard import Guard
from candlewax.web.sql.endpoint import Reader, Sql
from candlewax.web.stream.subscribers import Subscribers

STATIC: Final = Path(__file__).with_name("static")

BASE: Final = "/api/v1"


Beside = Callable[[], Coroutine[object, object, None]]
"""Makes what runs as long as it is served."""


def make(
    store: Store,
    viewers: Subscribers,
    recent: CandleCache,
    reader: Reader | None,
    beside: Sequence[Beside],
    *,
    what: str,
    names: Collection[str] = (),
) -> Starlette:
    """The page and its API, and SQL where there is a reader. `what` says what is shown,
    `names` are other names of this server.
    """
    about = {"name": "candlewax", "feed": what}
    loader = Loader(store, recent, lambda: viewers.markets)
    api = Api(store, viewers, recent, loader, about)
    sql = Sql(reader)
    described = msgspec.json.encode(document(BASE))

    async def openapi(request: Request) -> Response:
        params.read(params.Nothing, request)
        return formats.respond(request, described, "json")

    async def root(request: Request) -> Response:
        """The page, unless a query is asked."""
        if request.method == "POST" or "query" in request.query_params:
            return await sql.answer(request)
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    routes = [
        Route(BASE, api.about),
        Route(f"{BASE}/exchanges", api.exchanges),
        Route(f"{BASE}/symbols", api.symbols),
        Route(f"{BASE}/ohlcv/{{timeframe}}", api.candles),
        Route(f"{BASE}/trades", api.trades),
        Route(f"{BASE}/gaps", api.gaps),
        Route(f"{BASE}/health", api.health),
        Route(f"{BASE}/stream", api.stream),
        Route("/openapi.json", openapi),
        Route("/ping", sql.ping),
        Route("/", root, methods=["GET", "POST"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = [asyncio.create_task(begin()) for begin in (*beside, loader.run)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, names=names)],
        exception_handlers={
            Problem: problem.handle,
            HTTPException: _other,
            Unavailable: _unavailable,
            Exception: _failed,
        },
        lifespan=lifespan,
    )


async def _other(request: Request, error: Exception) -> Response:
    """What the framework refuses, in our shape."""
    refused = cast(HTTPException, error)
    words = {404: "not_found", 405: "method_not_allowed"}
    told = {404: f"there is nothing at {request.url.path}", 405: "this address is only read"}
    code = refused.status_code
    found = Problem(code, words.get(code, "refused"), told.get(code, refused.detail))
    return problem.answer(found, refused.headers)


async def _unavailable(_: Request, error: Exception) -> Response:
    """The database is away, or busy: it may be well again soon."""
    code = "database_busy" if isinstance(error, Busy) else "database_away"
    return problem.answer(Problem(503, code, str(error)), {"Retry-After": "2"})


async def _failed(_: Request, __: Exception) -> Response:
    """A mistake of ours; the log has it whole."""
    return problem.answer(Problem(500, "failed", "this failed; the log says why"))
