"""Hundreds of hanging connections, and requests that are answered beside them."""

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.sync.client import connect

from candlewax.web import connection_limits
from candlewax.web.connection_limits import BoundedProtocol, Connections
from candlewax.web.server import Server
from candlewax.web.stream.poller import StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers
from tests.support.web_server import Client

LARGE = b"x" * (32 << 20)
HEAD = b"GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n"

HANGING = {
    "silent": b"",
    "within a head": b"GET /now HTTP/1.1\r\nHos",
    "within a body": b"POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nSEL",
    "after an answer": HEAD,
}


class Site:
    """A server that answers at once, once the test sets `go`, or with more than a buffer holds."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = threading.Semaphore(0)
        routes = [
            Route("/now", self._now),
            Route("/later", self._later, methods=["GET", "POST"]),
            Route("/large", self._large),
            WebSocketRoute("/socket", self._echo),
        ]
        self.server = Server(
            Starlette(routes=routes), Subscribers(StoredFeedStatus()), "127.0.0.1", 0
        )
        self.client = Client(self.server.port)

    async def _now(self, _: Request) -> Response:
        return PlainTextResponse("now")

    async def _later(self, request: Request) -> Response:
        await request.body()
        self.began.release()
        await asyncio.to_thread(self.go.wait)
        return PlainTextResponse("later")

    async def _echo(self, websocket: WebSocket) -> None:
        await websocket.accept()
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.send_text(await websocket.receive_text())

    async def _large(self, _: Request) -> Response:
        return Response(LARGE)

    def connect(self, sent: bytes = b"") -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        if sent:
            opened.sendall(sent)
        return opened


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    made.server.start()
    yield made
    made.go.set()
    made.server.stop()


@contextmanager
def hanging(site: Site, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(stack.enter_context(site.connect()))
            # The server may have closed some to make room for others.
            try:
                opened[-1].sendall(sent)
            except OSError:
                continue
        yield opened


def read_all(opened: socket.socket) -> bytes:
    received = b""
    try:
        while part := opened.recv(1 << 16):
            received += part
    except ConnectionResetError:
        pass
    return received


def read_until(opened: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        part = opened.recv(1 << 16)
        assert part, received
        received += part
    return received


@pytest.mark.parametrize("sent", HANGING.values(), ids=HANGING)
def test_request_is_answered_while_a_thousand_connections_hang(site: Site, sent: bytes) -> None:
    """The server keeps no more of them than its limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1000 if soft == resource.RLIM_INFINITY else min(1000, soft - 2 * connection_limits.MOST)
    with hanging(site, count, sent):
        for _ in range(10):
            assert site.client.ask("/now").body == b"now"
        assert len(site.server.connections) <= connection_limits.MOST_OF_ONE


def test_request_being_answered_is_not_cut_off_by_new_connections(site: Site) -> None:
    """Idle connections are closed instead."""
    site.server.connections.most_of_one = 8
    with site.connect(HEAD.replace(b"/now", b"/later")) as asking:
        site.began.acquire()
        with hanging(site, 50, b""):
            assert site.client.ask("/now").status == 200
            site.go.set()
            assert read_until(asking, b"later")


def test_new_connection_is_refused_when_all_are_being_answered(site: Site) -> None:
    """With 503 and an error code; it is admitted once others have ended."""
    site.server.connections.most_of_one = 4
    with hanging(site, 4, HEAD.replace(b"/now", b"/later")) as asking:
        for _ in asking:
            site.began.acquire()
        with site.connect() as refused:
            assert b"503" in (answer := read_all(refused))
            assert b"too_many_connections" in answer
        site.go.set()
        assert all(read_until(connection, b"later") for connection in asking)
    assert site.client.ask("/now").status == 200


@pytest.mark.parametrize("kind", HANGING)
def test_connection_that_keeps_waiting_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """With 408 if part of a request has arrived."""
    monkeypatch.setattr(connection_limits, "REQUEST_S", 0.1)
    with site.connect(HANGING[kind]) as opened:
        answer = read_all(opened)
    assert (b"408" in answer) == kind.startswith("within")
    assert (b"now" in answer) == (kind == "after an answer")


def test_request_that_comes_byte_by_byte_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if its bytes keep arriving."""
    monkeypatch.setattr(connection_limits, "REQUEST_S", 0.1)
    ended = threading.Event()
    with site.connect(b"GET /now HTTP/1.1\r\nX-Slow: ") as opened:

        def drip() -> None:
            try:
                while not ended.wait(0.01):
                    opened.sendall(b"a")
            except OSError:
                pass

        thread = threading.Thread(target=drip)
        thread.start()
        answer = read_all(opened)
        ended.set()
        thread.join()
    assert answer == b"" or b"408" in answer


def test_client_that_does_not_read_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its buffered answer is freed; other requests are answered meanwhile."""
    monkeypatch.setattr(connection_limits, "STALLED_S", 0.1)
    with site.connect(HEAD.replace(b"/now", b"/large")) as opened:
        assert opened.recv(1) == b"H"
        while len(site.server.connections):
            assert site.client.ask("/now").status == 200
        assert len(read_all(opened)) < len(LARGE)


class Pipe:
    """A transport whose unsent bytes the test sets."""

    def __init__(self) -> None:
        self.unsent = 0
        self.closing = self.aborted = False

    def get_extra_info(self, _: str) -> Any:
        return None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize(("read", "ended"), [(20_000, False), (1_000, True)])
def test_slow_reader_is_ended_only_without_progress(
    *, closing: bool, read: int, ended: bool
) -> None:
    """Over an hour, with a client that reads some bytes every ten seconds."""
    loop = asyncio.new_event_loop()
    config = Config(Starlette())
    pipe = Pipe()
    protocol = BoundedProtocol(
        Connections(), config=config, server_state=ServerState(), app_state={}, _loop=loop
    )
    protocol.connection_made(cast(asyncio.Transport, pipe))
    pipe.unsent, pipe.closing = 10_000_000, closing
    protocol.flow.write_paused = not closing
    begin = loop.time()
    for step in range(360):
        protocol.end_if_late(begin + 10 * step)
        pipe.unsent -= read
    assert pipe.aborted == ended
    loop.close()


def test_websocket_keeps_its_place_until_it_closes(site: Site) -> None:
    """It takes one of the connections, and is not cut off for another."""
    connections = site.server.connections
    connections.most = connections.most_of_one = 1
    with connect(f"ws://127.0.0.1:{site.server.port}/socket", proxy=None) as opened:
        opened.send("here")
        assert opened.recv() == "here"
        assert len(connections) == 1
        assert site.client.ask("/now").status == 503
        opened.send("still here")
        assert opened.recv() == "still here"
    while len(connections):
        assert site.server.port
    assert site.client.ask("/now").status == 200
