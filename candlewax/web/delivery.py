"""Delivery of answers: in parts (Range), and compressed where the client accepts it."""

import gzip
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import zstandard
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from candlewax.web.snapshots import Snapshot, Snapshots

Handler = Callable[[Request], Awaitable[Response]]

LEAST_BYTES: Final = 1_024
"""Bytes of an answer from which on it is compressed."""

_INLINE_BYTES: Final = 1 << 20
"""Bytes that the event loop compresses itself; waking another thread may take longer."""

_TEXT: Final = ("application/json", "text/csv")
"""Types that are compressed. Parquet is so already, and Arrow is read in place."""

_COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=1).compress(body),
    "gzip": lambda body: gzip.compress(body, compresslevel=1, mtime=0),
}
"""The best first, if a client likes both the same."""

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Delivery:
    """Sends the answers of handlers whole, compressed or in parts.

    A reader of parts, such as one of Parquet, asks for the size (HEAD) and then for ranges. All of
    them come from one answer, which is kept meanwhile (`Snapshots`): rows that are stored between
    two requests would move its bytes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds; it only moves forward."""
        self._snapshots = Snapshots(clock)

    def wrap(self, handler: Handler) -> Handler:
        """Return a handler that delivers what the given one answers."""

        async def answer(request: Request) -> Response:
            if request.method == "HEAD" or "range" in request.headers:
                return await self._part(request, handler)
            return await _compressed(request, await handler(request))

        return answer

    async def _part(self, request: Request, handler: Handler) -> Response:
        key = (request.url.path, request.url.query, request.headers.get("accept", ""))
        kept = self._snapshots.find(key)
        expected = request.headers.get("if-range")
        if kept is None or (expected is not None and expected != kept.etag):
            response = await handler(request)
            if response.status_code != 200 or "etag" not in response.headers:
                return response
            kept = self._snapshots.keep(key, response)
        return _slice(request, kept)


def _slice(request: Request, kept: Snapshot) -> Response:
    """Return the range of a kept answer that a request names, or all of it."""
    headers = {**kept.headers, "Accept-Ranges": "bytes"}
    wanted = request.headers.get("if-match", "*")
    if wanted != "*" and kept.etag not in (tag.strip() for tag in wanted.split(",")):
        return Response(status_code=412, headers=headers)
    parts = _RANGE.fullmatch(request.headers.get("range", "").strip())
    expected = request.headers.get("if-range", kept.etag)
    # Several ranges in one request, and what is no range, are answered with everything.
    if not parts or parts[1] + parts[2] == "" or expected != kept.etag:
        return Response(kept.body, 200, headers)
    size = len(kept.body)
    if not parts[1]:
        first, last = max(0, size - int(parts[2])), size - 1
    else:
        first, last = int(parts[1]), min(int(parts[2] or size - 1), size - 1)
    if first >= size or last < first:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Response(kept.body[first : last + 1], 206, headers)


async def _compressed(request: Request, response: Response) -> Response:
    """Return an answer in the best encoding that the client accepts."""
    body = getattr(response, "body", b"")
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if response.status_code != 200 or media_type not in _TEXT:
        return response
    encoding = choose_encoding(request.headers.get("accept-encoding", ""))
    if not encoding or len(body) < LEAST_BYTES:
        return response
    compress = _COMPRESS[encoding]
    if len(body) < _INLINE_BYTES:
        small = compress(body)
    else:
        small = await run_in_threadpool(compress, body)
    headers = {
        name: text for name, text in response.headers.items() if name != "content-length"
    } | {"content-encoding": encoding}
    if "etag" in headers:
        headers["etag"] = f'{headers["etag"][:-1]}-{encoding}"'
    return Response(small, 200, headers)


def choose_encoding(accepted: str) -> str | None:
    """Return the encoding for the header Accept-Encoding; None to send it as it is."""
    qualities = {}
    for part in accepted.lower().split(","):
        name, _, quality = part.replace(" ", "").partition(";q=")
        try:
            qualities[name] = float(quality or 1)
        except ValueError:
            qualities[name] = 0.0
    known = {name: qualities.get(name, qualities.get("*", 0.0)) for name in _COMPRESS}
    best = max(known, key=lambda name: known[name])
    return best if known[best] > 0 else None
