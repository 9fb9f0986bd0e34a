"""The application: which address leads where."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from candlewax.web import problem
from candlewax.web.api import Api
from candlewax.web.guard import Guard
from candlewax.web.live import Live
from candlewax.web.problem import Problem
from candlewax.web.store import Store

STATIC: Final = Path(__file__).with_name("static")

BASE: Final = "/api/v1"


def make(
    store: Store,
    live: Live,
    *,
    what: str,
    names: Collection[str] = (),
    beside: Callable[[], object] | None = None,
) -> Starlette:
    """The page and its API. `what` says what is played, `names` are other names of this
    server; `beside` makes a coroutine that runs as long as it serves.
    """
    about = {"name": "candlewax", "feed": what}
    api = Api(store, live, about)
    routes = [
        Route(BASE, api.about),
        Route(f"{BASE}/exchanges", api.exchanges),
        Route(f"{BASE}/symbols", api.symbols),
        Route(f"{BASE}/ohlcv/{{timeframe}}", api.candles),
        Route(f"{BASE}/trades", api.trades),
        Route(f"{BASE}/gaps", api.gaps),
        Route(f"{BASE}/health", api.health),
        Route(f"{BASE}/stream", api.stream),
        Route("/", _page, methods=["GET"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(live.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, names=names)],
        exception_handlers={
            Problem: problem.handle,
            HTTPException: _other,
            Exception: _failed,
        },
        lifespan=lifespan,
    )


async def _page(_: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def _other(request: Request, error: Exception) -> Response:
    """What the framework refuses, in our shape."""
    assert isinstance(error, HTTPException)
    words = {404: "not_found", 405: "method_not_allowed"}
    told = {404: f"there is nothing at {request.url.path}", 405: "this address is only read"}
    code = error.status_code
    found = Problem(code, words.get(code, "refused"), told.get(code, error.detail))
    return problem.answer(found, error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    """A mistake of ours; the log has it whole."""
    return problem.answer(Problem(500, "failed", "this failed; the log says why"))
