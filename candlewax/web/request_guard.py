"""Checks on the origin and size of every request, before it is handled."""

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candlewax.web.problem import Problem, answer

MOST_BYTES: Final = 1 << 20
"""Bytes of a request body."""

MOST_ADDRESS: Final = 32 << 10
"""Bytes of path and query of a request."""

_SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Guard:
    """Middleware that refuses requests from pages of other sites.

    The name of another site may point here (DNS rebinding): then the Host header holds that name.
    So Host must be an IP address, `localhost`, or one of the given names. A browser tells where a
    page's request comes from in Origin and Sec-Fetch-Site.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = {name.lower() for name in names} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._check_websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), text.encode())
                        for name, text in _SECURITY_HEADERS.items()
                        if name.lower().encode() not in present
                    ),
                ]
            await send(message)

        try:
            self._check(scope, headers)
        except Problem as problem:
            await answer(problem)(scope, receive, send_with_headers)
            return
        await self._app(scope, _limit_body(receive), send_with_headers)

    async def _check_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Browsers let pages of any site open a WebSocket: only this check stands before it.
        try:
            self._check(scope, Headers(scope=scope))
        except Problem as problem:
            await answer(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.getlist("host")
        if len(host) != 1 or not self._is_own(host[0]):
            raise Problem(421, "wrong_host", "this server is not known by that name")
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != host[0].lower():
            raise Problem(403, "foreign_origin", "pages of other sites may not ask")
        site = headers.get("sec-fetch-site", "none")
        if site not in {"none", "same-origin"} and headers.get("sec-fetch-mode") != "navigate":
            raise Problem(403, "foreign_origin", "pages of other sites may not ask")
        if site == "cross-site" and scope["query_string"]:
            raise Problem(403, "foreign_origin", "pages of other sites may not ask")
        if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_ADDRESS:
            raise Problem(414, "address_too_long", f"no more than {MOST_ADDRESS} bytes")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise Problem(413, "too_large", f"no more than {MOST_BYTES} bytes")

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _host_of(origin: str) -> str | None:
    """Return host and port of an origin; None if it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _limit_body(receive: Receive) -> Receive:
    """Return a receiver that raises Problem once a body exceeds the limit.

    The length that the client announces does not count.
    """
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MOST_BYTES:
            raise Problem(413, "too_large", f"no more than {MOST_BYTES} bytes")
        return message

    return receive_limited
