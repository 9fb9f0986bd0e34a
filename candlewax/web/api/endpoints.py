"""The API: what a request asks for, and the answer to it."""

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
from candlewax.web.cache.chunks import CandlePage, said
from candlewax.web.cache.loader import Loader
from candlewax.web.problem import Problem, bad_parameter
from candlewax.web.queries import Cursor, Series, Store
from candlewax.web.stream.client import StreamClient
from candlewax.web.stream.subscribers import Subscribers

_SHORT: Final = 1_000
"""Candles that are written on the spot: to wake another thread may take longer."""

PATIENCE: Final = 15.0
"""Seconds of silence on a stream before it says that it is still there."""


class Api:
    """Answers requests from the tables and from what is kept of them."""

    def __init__(
        self,
        store: Store,
        viewers: Subscribers,
        recent: CandleCache,
        loader: Loader,
        about: Mapping[str, object],
    ) -> None:
        self._store = store
        self._live = viewers
        self._recent = recent
        self._loader = loader
        self._about = about
        self._markets: set[tuple[str, str]] = set()

    async def about(self, request: Request) -> Response:
        """What is served here."""
        params.read(params.Nothing, request)
        said = {**self._about, "candles_in_memory": self._recent.count}
        return formats.respond(request, msgspec.json.encode(said), "json")

    async def exchanges(self, request: Request) -> Response:
        """All exchanges, and whether anything is stored of each."""
        asked = params.read(params.Parameters, request)
        rows = await run_in_threadpool(self._store.symbols)
        counts = rows.group_by("exchange").agg(symbols=pl.len(), trades=pl.col("trades").sum())
        known = pl.DataFrame({"exchange": list(EXCHANGES)})
        rows = known.join(counts, on="exchange", how="left", maintain_order="left")
        return await self._rows(request, rows.fill_null(0), asked.format)

    async def symbols(self, request: Request) -> Response:
        """All markets of which there are candles."""
        asked = params.read(params.Symbols, request)
        rows = await run_in_threadpool(self._store.symbols)
        if asked.exchange is not UNSET:
            rows = rows.filter(pl.col("exchange") == asked.exchange)
        return await self._rows(request, rows, asked.format)

    async def candles(self, request: Request) -> Response:
        """The candles of a market."""
        timeframe = request.path_params["timeframe"]
        if timeframe not in TIMEFRAMES:
            raise Problem(
                404, "unknown_timeframe", f"there are {', '.join(TIMEFRAMES)}", "timeframe"
            )
        asked = params.read(params.Candles, request)
        form = formats.wanted(request, asked.format)
        series = Series(asked.exchange, asked.symbol, timeframe)
        await self._known(asked)
        found = await self._kept(series, asked)
        if found is None:
            # Beyond what is kept.
            found = await run_in_threadpool(self._between, series, asked)
        link = None
        if found.count == asked.limit:
            given = asked.from_ is not UNSET
            link = _link(request, _after(found.last, timeframe) if given else _before(found.first))
        if form == "json":
            return _page(request, found.lines(), link)
        if found.count <= _SHORT:
            body = formats.write_candles(found, form)
        else:
            body = await run_in_threadpool(formats.write_candles, found, form)
        return formats.respond(request, body, form, _headers(link))

    async def _kept(self, series: Series, asked: params.Candles) -> CandlePage | None:
        """What is asked for, of what is kept; None if that does not reach so far."""
        begin = int(_up(_given(asked.from_, EARLIEST)).timestamp())
        end = int(_up(_given(asked.to, LATEST)).timestamp())
        last = asked.from_ is UNSET
        page = partial(self._recent.page, series, begin, end, asked.limit, last=last)
        self._live.catch_up()
        found = page()
        if found is None and self._recent.since(series) is None:
            await self._loader.read(series)
            found = page()
        return found

    def _between(self, series: Series, asked: params.Candles) -> CandlePage:
        begin, end = _given(asked.from_, EARLIEST), _given(asked.to, LATEST)
        last = asked.from_ is UNSET
        rows = self._store.candles(series, _up(begin), _up(end), asked.limit, last=last)
        return said(rows)

    async def trades(self, request: Request) -> Response:
        """The trades of a market."""
        asked = params.read(params.Trades, request)
        form = formats.wanted(request, asked.format)
        cursor = _cursor(asked.cursor)
        await self._known(asked)
        last = asked.from_ is UNSET
        rows = await run_in_threadpool(
            self._store.trades,
            (asked.exchange, asked.symbol),
            _given(asked.from_, EARLIEST),
            _given(asked.to, LATEST),
            asked.limit,
            cursor,
            last=last,
        )
        link = None
        if rows.height == asked.limit:
            edge = rows.row(0 if last else -1, named=True)
            link = _link(request, {"cursor": _at(edge)})
        return await self._rows(request, rows, form, link)

    async def gaps(self, request: Request) -> Response:
        """Holes in the numbers of trades."""
        asked = params.read(params.Gaps, request)
        exchanges = list(EXCHANGES) if asked.exchange is UNSET else [str(asked.exchange)]
        symbol = "" if asked.symbol is UNSET else str(asked.symbol)
        begin, end = _given(asked.from_, EARLIEST), _given(asked.to, LATEST)
        rows = await run_in_threadpool(self._store.gaps, exchanges, symbol, begin, end, asked.limit)
        return await self._rows(request, rows, asked.format)

    async def health(self, request: Request) -> Response:
        """How the feeds are."""
        params.read(params.Nothing, request)
        return formats.respond(request, self._live.health(), "json")

    async def stream(self, request: Request) -> Response:
        """What happens, as server-sent events."""
        asked = params.read(params.Stream, request)
        viewer = StreamClient(Series(asked.exchange, asked.symbol, asked.timeframe))
        self._live.enter(viewer)

        async def events() -> AsyncIterator[bytes]:
            yield b"retry: 1000\n\n"
            while (event := await viewer.next(PATIENCE)) is not None:
                yield event

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        answer = StreamingResponse(events(), 200, headers, "text/event-stream")
        return _Watched(answer, lambda: self._live.leave(viewer))

    async def _known(self, market: params.Market) -> None:
        """Raises Problem if nothing was ever stored of a market."""
        key = (market.exchange, market.symbol)
        if key in self._markets or key in self._live.markets:
            return
        rows = await run_in_threadpool(self._store.symbols)
        self._markets = set(rows.select("exchange", "symbol").rows())
        if key not in self._markets:
            text = f"nothing is stored of {market.symbol} at {market.exchange}"
            raise Problem(404, "unknown_market", text, "symbol")

    async def _rows(
        self,
        request: Request,
        rows: pl.DataFrame,
        form: str | UnsetType,
        link: str | None = None,
    ) -> Response:
        form = formats.wanted(request, form)
        if form == "json":
            return _page(request, await run_in_threadpool(encode.lines, rows), link)
        body = await run_in_threadpool(formats.write, rows, form)
        return formats.respond(request, body, form, _headers(link))


class _Watched(Response):
    """A stream, after which something is to be done, also where its client was gone before the
    first event.
    """

    def __init__(self, stream: StreamingResponse, done: Callable[[], None]) -> None:
        self._stream = stream
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._stream(scope, receive, send)
        finally:
            self._done()


def _page(request: Request, lines: list[bytes], link: str | None) -> Response:
    told = msgspec.json.encode(link)
    body = b'{"data":' + encode.array(lines) + b',"next":' + told + b"}"
    return formats.respond(request, body, "json", _headers(link))


def _headers(link: str | None) -> dict[str, str]:
    return {"Link": f'<{link}>; rel="next"'} if link else {}


def _link(request: Request, changed: Mapping[str, str]) -> str:
    """The address of the request with some parameters changed."""
    given = {**request.query_params, **changed}
    return f"{request.url.path}?{urlencode(given)}"


def _given(time: datetime | UnsetType, default: datetime) -> datetime:
    return time if isinstance(time, datetime) else default


def _up(time: datetime) -> datetime:
    """The next whole second: candles begin on whole ones."""
    return datetime.fromtimestamp(-int(-time.timestamp() // 1), UTC)


def _before(first: int) -> dict[str, str]:
    """Where the page before a candle ends."""
    return {"to": f"{datetime.fromtimestamp(first, UTC):%Y-%m-%dT%H:%M:%SZ}"}


def _after(last: int, timeframe: str) -> dict[str, str]:
    """Where the page behind a candle begins."""
    return {"from": str(last + TIMEFRAMES[timeframe][1] // 1_000_000)}


def _at(trade: Mapping[str, Any]) -> str:
    return f"{trade['timestamp']:%Y-%m-%dT%H:%M:%S.%f}~{trade['sequence']}~{trade['trade_id']}"


def _cursor(text: str | UnsetType) -> Cursor | None:
    if text is UNSET:
        return None
    try:
        time, sequence, trade_id = str(text).split("~", 2)
        at = parse_time(f"{time}Z")
        number = int(sequence)
    except ValueError:
        raise bad_parameter("cursor", "takes what the link to a next page gave") from None
    if not (EARLIEST <= at < LATEST and 0 <= number < 1 << 64):
        raise bad_parameter("cursor", "takes what the link to a next page gave")
    return Cursor(at, number, trade_id)
