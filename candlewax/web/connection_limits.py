"""Limits on connections: how many are open, and how long one may occupy the server.

A connection is waiting while the server has no complete request of it: before the first byte,
within a head or a body, and between two requests. It is stalled while an answer is ready and the
client does not read it. The server ends both kinds after a timeout, and at once if a new connection
needs the place. So new requests are answered however many connections hang. Connections with a
request in progress are never cut off.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MOST: Final = 256
"""Connections open at a time. More than asyncio accepts in one go (100), so that the server reads
from a new connection before it could be the oldest."""

MOST_OF_ONE: Final = 160
"""Connections of one address at a time; a proxy may stand for many clients."""

MOST_STREAMS: Final = 32
"""Event streams open at a time; unlike other requests they do not end."""

REQUEST_S: Final = 10.0
"""Seconds within which a request must be complete, from the connection or the previous answer."""

STALLED_S: Final = 30.0
"""Seconds within which a client must go on reading an answer."""

_PROGRESS: Final = 16 << 10
"""Bytes a client must read within that time."""

_SPARED_S: Final = 5.0
"""Seconds a client may stop reading before a new connection may take its place."""

_SWEEP_S: Final = 0.5

_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 2\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
)
_LATE: Final = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
)


def _answer(head: bytes, code: str, message: str) -> bytes:
    body = f'{{"error":{{"code":"{code}","message":"{message}"}}}}'.encode()
    return head % (len(body), body)


_TOO_MANY: Final = _answer(_BUSY, "too_many_connections", "too many requests are being answered")
_TOO_SLOW: Final = _answer(
    _LATE, "request_too_slow", f"a request has to come whole within {REQUEST_S:g} seconds"
)


def most_connections() -> int:
    """Return how many connections may be open: at most a quarter of the file descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, MOST if soft == resource.RLIM_INFINITY else min(MOST, soft // 4))


def most_streams() -> int:
    """Return how many event streams may be open: a quarter of the connections, at most 32."""
    return min(MOST_STREAMS, most_connections() // 4)


class Connections:
    """Open connections of a server; used in its event loop only."""

    def __init__(self, most: int | None = None, most_of_one: int = MOST_OF_ONE) -> None:
        self.most = most or most_connections()
        self.most_of_one = min(most_of_one, max(1, self.most - self.most // 4))
        # In the order of arrival.
        self._open: dict[BoundedProtocol, None] = {}
        self._of_one: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: "BoundedProtocol") -> bool:
        """Return whether a connection may stay; a waiting one is ended to make place."""
        address = connection.address
        is_admitted = True
        if self._of_one[address] >= self.most_of_one:
            is_admitted = self._evict(address, connection.loop.time())
        elif len(self._open) >= self.most:
            is_admitted = self._evict(None, connection.loop.time())
        if is_admitted:
            self._open[connection] = None
            self._of_one[address] += 1
            self._arm(connection.loop)
        return is_admitted

    def forget(self, connection: "BoundedProtocol") -> None:
        """Remove a connection that has ended."""
        if connection in self._open:
            del self._open[connection]
            self._of_one[connection.address] -= 1
            if not self._of_one[connection.address]:
                del self._of_one[connection.address]

    def _evict(self, address: str | None, now: float) -> bool:
        """End the connection that has waited longest, of one address or of all.

        If none waits, end the one that has stalled longest, for at least 5 seconds. Return whether
        one was ended.
        """
        candidates = [c for c in self._open if address is None or c.address == address]
        waiting = (c for c in candidates if c.is_waiting)
        victim = min(waiting, key=lambda c: c.waiting_since, default=None)
        if victim is None:
            stalled = ((c.stalled_since or now, c) for c in candidates)
            waiting_since, victim = min(stalled, key=lambda pair: pair[0])
            if now - waiting_since < _SPARED_S:
                return False
        victim.cut()
        return True

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None:
            self._timer = loop.call_later(_SWEEP_S, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for connection in list(self._open):
            connection.end_if_late(now)
        if self._open:
            self._arm(loop)


class BoundedProtocol(H11Protocol):
    """HTTP connection with limits on how long it waits and stalls."""

    def __init__(self, connections: Connections, **options: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**options)
        self._connections = connections
        self.address = ""
        self.waiting_since = self.loop.time()
        """Loop time from which the server waits for a request."""
        self.stalled_since: float | None = None
        """Loop time at which the client last read while an answer waits to be sent; else None."""
        self._unsent_bytes = 0
        self._has_received = False
        self._is_websocket = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or answer 503 if there are too many."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if not self._connections.admit(self):
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place of the connection."""
        self._connections.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note that the request has begun, and parse the data."""
        self._has_received = True
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Start the timeout of the next request."""
        self.waiting_since = self.loop.time()
        self._has_received = False
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: Any) -> None:  # noqa: ANN401 - h11's
        """Hand the connection to a WebSocket. It keeps its place, and is never cut off here:
        uvicorn ends it if it does not answer a ping.
        """
        self._is_websocket = True
        free_place = partial(self._connections.forget, self)
        self.ws_protocol_class = cast(type[asyncio.Protocol], partial(_WebSocket, free_place))
        super().handle_websocket_upgrade(event)

    @property
    def is_waiting(self) -> bool:
        """Return whether no complete request is there and no answer waits to be sent."""
        if self._is_websocket or self.stalled_since is not None:
            return False
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def end_if_late(self, now: float) -> None:
        """End the connection if one of its timeouts is over."""
        if self._is_websocket:
            return
        self._watch_unsent(now)
        if self.stalled_since is not None:
            if now - self.stalled_since > STALLED_S:
                self.cut()
        elif self.is_waiting and now - self.waiting_since > REQUEST_S:
            has_begun_answer = self.cycle is not None and self.cycle.response_started
            if self._has_received and not (has_begun_answer and not self.cycle.response_complete):
                self.transport.write(_TOO_SLOW)
                self.transport.close()
            else:
                self.cut()

    def _watch_unsent(self, now: float) -> None:
        """Note whether the client reads; while much is unsent, uvicorn adds nothing."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if not (unsent_bytes and (self.flow.write_paused or self.transport.is_closing())):
            self.stalled_since = None
        elif self.stalled_since is None or unsent_bytes <= self._unsent_bytes - _PROGRESS:
            self.stalled_since, self._unsent_bytes = now, unsent_bytes

    def cut(self) -> None:
        """Abort the connection."""
        self._connections.forget(self)
        self.transport.abort()


class _WebSocket(WebSocketsSansIOProtocol):
    """WebSocket with a callback at its end."""

    def __init__(self, on_lost: Callable[[], None], **options: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**options)
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place of the connection."""
        self._on_lost()
        super().connection_lost(exc)


def bounded_protocol(connections: Connections) -> Callable[..., BoundedProtocol]:
    """Return the factory of connections for uvicorn's `http` option."""
    return partial(BoundedProtocol, connections)
