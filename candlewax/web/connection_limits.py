"""Bounds on connections: how many there are, and how long one may keep the server waiting.

A connection waits while no whole request of it is there: before its first byte, within a head or a
body, and between two requests. It is stalled while an answer is ready and the client does not read
it. Both end after a while, and at once where room is needed for a new connection. So a new request
is answered however many connections hang; a request that is being answered is never cut off.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST: Final = 256
"""Connections at a time. More than asyncio accepts at once, so that what was just accepted is read
before it could be the oldest."""

MOST_OF_ONE: Final = 160
"""Of these, those of one address: there may be a proxy with many clients behind it."""

MOST_STREAMS: Final = 32
"""Of these, those of pages that watch, which do not end."""

REQUEST_S: Final = 10.0
"""Seconds for a request to come whole: from the connection, or the answer before it."""

STALLED_S: Final = 30.0
"""Seconds for a client to read on."""

_PROGRESS: Final = 16 << 10
"""Bytes that a client takes within that time."""

_SPARED_S: Final = 5.0
"""Seconds that a client may rest in reading although others need its room."""

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
    """Return how many connections there may be: no more than a quarter of the descriptors that
    this process may have open.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, MOST if soft == resource.RLIM_INFINITY else min(MOST, soft // 4))


def most_streams() -> int:
    """Return how many pages may watch: most connections are for requests that end."""
    return min(MOST_STREAMS, most_connections() // 4)


class Connections:
    """The connections of a server, all of them used in its loop only."""

    def __init__(self, most: int | None = None, most_of_one: int = MOST_OF_ONE) -> None:
        self.most = most or most_connections()
        self.most_of_one = min(most_of_one, max(1, self.most - self.most // 4))
        # In the order in which they came.
        self._open: dict[BoundedProtocol, None] = {}
        self._of_one: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: "BoundedProtocol") -> bool:
        """Return whether a connection may stay; another one that waits gives way to it."""
        address = connection.address
        admitted = True
        if self._of_one[address] >= self.most_of_one:
            admitted = self._evict(address, connection.loop.time())
        elif len(self._open) >= self.most:
            admitted = self._evict(None, connection.loop.time())
        if admitted:
            self._open[connection] = None
            self._of_one[address] += 1
            self._arm(connection.loop)
        return admitted

    def forget(self, connection: "BoundedProtocol") -> None:
        """Note that a connection has ended."""
        if connection in self._open:
            del self._open[connection]
            self._of_one[connection.address] -= 1
            if not self._of_one[connection.address]:
                del self._of_one[connection.address]

    def _evict(self, address: str | None, now: float) -> bool:
        """End the connection that has waited longest, of an address or of all; one whose client
        does not read only if no other waits.
        """
        near = [one for one in self._open if address is None or one.address == address]
        found = min((one for one in near if one.waits), key=lambda one: one.since, default=None)
        if found is None:
            stalled = ((one.stalled_since or now, one) for one in near)
            since, found = min(stalled, key=lambda pair: pair[0])
            if now - since < _SPARED_S:
                return False
        found.cut()
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
    """One connection, which may not keep the server waiting for long."""

    def __init__(self, connections: Connections, **given: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**given)
        self._bounds = connections
        self.address = ""
        self.since = self.loop.time()
        """When the server began to wait for a request."""
        self.stalled_since: float | None = None
        """When the client last took some of an answer that waits to be sent."""
        self._unsent_bytes = 0
        self._received = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many already."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if not self._bounds.admit(self):
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._bounds.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._received = True
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request from now on."""
        self.since = self.loop.time()
        self._received = False
        super().on_response_complete()

    @property
    def waits(self) -> bool:
        """Whether no whole request is there, and nothing of an answer waits to be sent."""
        if self.stalled_since is not None:
            return False
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def end_if_late(self, now: float) -> None:
        """End the connection if its client has had its time."""
        self._watch_unsent(now)
        if self.stalled_since is not None:
            if now - self.stalled_since > STALLED_S:
                self.cut()
        elif self.waits and now - self.since > REQUEST_S:
            answered = self.cycle is not None and self.cycle.response_started
            if self._received and not (answered and not self.cycle.response_complete):
                self.transport.write(_TOO_SLOW)
                self.transport.close()
            else:
                self.cut()

    def _watch_unsent(self, now: float) -> None:
        """Note whether the client reads: while much is unsent, nothing is added to it."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if not (unsent_bytes and (self.flow.write_paused or self.transport.is_closing())):
            self.stalled_since = None
        elif self.stalled_since is None or unsent_bytes <= self._unsent_bytes - _PROGRESS:
            self.stalled_since, self._unsent_bytes = now, unsent_bytes

    def cut(self) -> None:
        """End at once."""
        self._bounds.forget(self)
        self.transport.abort()


def bounded_protocol(connections: Connections) -> Callable[..., BoundedProtocol]:
    """Return the maker of connections that uvicorn takes for its protocol."""
    return partial(BoundedProtocol, connections)
