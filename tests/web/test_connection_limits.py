"""Connections that hang, in their hundreds, and requests that are answered meanwhile."""

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn import Config
from uvicorn.server import ServerState

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
    """A server whose answers come at once, when they are let go, or are too large to be sent
    in one go.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = threading.Semaphore(0)
        routes = [
            Route("/now", self._now),
            Route("/later", self._later, methods=["GET", "POST"]),
            Route("/large", self._large),
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

    async def _large(self, _: Request) -> Response:
        return Response(LARGE)

    def connect(self, said: bytes = b"") -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        if said:
            opened.sendall(said)
        return opened


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    made.server.start()
    yield made
    made.go.set()
    made.server.stop()


@contextmanager
def hanging(site: Site, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            found.append(stack.enter_context(site.connect()))
            # Some are cut off by then, to make room for others.
            try:
                found[-1].sendall(said)
            except OSError:
                continue
        yield found


def read_all(opened: socket.socket) -> bytes:
    found = b""
    try:
        while part := opened.recv(1 << 16):
            found += part
    except ConnectionResetError:
        pass
    return found


def read_until(opened: socket.socket, end: bytes) -> bytes:
    found = b""
    while end not in found:
        part = opened.recv(1 << 16)
        assert part, found
        found += part
    return found


@pytest.mark.parametrize("said", HANGING.values(), ids=HANGING)
def test_request_is_answered_while_a_thousand_connections_hang(site: Site, said: bytes) -> None:
    """And no more of them are held than the bound."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1000 if soft == resource.RLIM_INFINITY else min(1000, soft - 2 * connection_limits.MOST)
    with hanging(site, count, said):
        for _ in range(10):
            assert site.client.ask("/now").body == b"now"
        assert len(site.server.connections) <= connection_limits.MOST_OF_ONE


def test_request_being_answered_is_not_cut_off_by_new_connections(site: Site) -> None:
    """Those that only wait make room instead."""
    site.server.connections.most_of_one = 8
    with site.connect(HEAD.replace(b"/now", b"/later")) as asking:
        site.began.acquire()
        with hanging(site, 50, b""):
            assert site.client.ask("/now").status == 200
            site.go.set()
            assert read_until(asking, b"later")


def test_new_connection_is_refused_when_all_are_being_answered(site: Site) -> None:
    """With a status that says so, and answered again afterwards."""
    site.server.connections.most_of_one = 4
    with hanging(site, 4, HEAD.replace(b"/now", b"/later")) as asking:
        for _ in asking:
            site.began.acquire()
        with site.connect() as refused:
            assert b"503" in (told := read_all(refused))
            assert b"too_many_connections" in told
        site.go.set()
        assert all(read_until(one, b"later") for one in asking)
    assert site.client.ask("/now").status == 200


@pytest.mark.parametrize("kind", HANGING)
def test_connection_that_keeps_waiting_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """And told why, if something of a request had come."""
    monkeypatch.setattr(connection_limits, "REQUEST_S", 0.1)
    with site.connect(HANGING[kind]) as opened:
        told = read_all(opened)
    assert (b"408" in told) == kind.startswith("within")
    assert (b"now" in told) == (kind == "after an answer")


def test_request_that_comes_byte_by_byte_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However steadily it comes."""
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
        told = read_all(opened)
        ended.set()
        thread.join()
    assert told == b"" or b"408" in told


def test_client_that_does_not_read_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer takes no memory any more then."""
    monkeypatch.setattr(connection_limits, "STALLED_S", 0.1)
    with site.connect(HEAD.replace(b"/now", b"/large")) as opened:
        assert opened.recv(1) == b"H"
        while len(site.server.connections):
            assert site.client.ask("/now").status == 200
        assert len(read_all(opened)) < len(LARGE)


class Pipe:
    """A transport of which a client takes as much as a test says."""

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
@pytest.mark.parametrize(("taken", "ended"), [(20_000, False), (1_000, True)])
def test_slow_reader_is_ended_only_without_progress(
    *, closing: bool, taken: int, ended: bool
) -> None:
    """Over an hour, with an answer of which some is taken every ten seconds."""
    loop = asyncio.new_event_loop()
    config = Config(Starlette())
    pipe = Pipe()
    one = BoundedProtocol(
        Connections(), config=config, server_state=ServerState(), app_state={}, _loop=loop
    )
    one.connection_made(cast(asyncio.Transport, pipe))
    pipe.unsent, pipe.closing = 10_000_000, closing
    one.flow.write_paused = not closing
    begin = loop.time()
    for step in range(360):
        one.end_if_late(begin + 10 * step)
        pipe.unsent -= taken
    assert pipe.aborted == ended
    loop.close()
