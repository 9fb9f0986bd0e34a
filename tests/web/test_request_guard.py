"""Requests that the server refuses by host, origin, size or form."""

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from candlewax.web.request_guard import MOST_BYTES
from tests.support.web_server import Client, serving

HEALTH = "/api/v1/health"


@pytest.fixture
def client(tables: Database, engine_path: Path) -> Iterator[Client]:
    with serving(tables, engine_path) as served:
        yield served.client


def raw(client: Client, request: bytes) -> bytes:
    """Send raw bytes and return the answer."""
    with socket.create_connection(("127.0.0.1", client.port), 10) as opened:
        parts = []
        # The server may close the connection while the request is still being sent.
        try:
            opened.sendall(request)
            opened.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno not in {errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET}:
                raise
        with suppress(ConnectionResetError):
            while part := opened.recv(65536):
                parts.append(part)
        return b"".join(parts)


def test_request_for_a_foreign_host_is_refused(client: Client) -> None:
    """Another name may point here by DNS rebinding. Local names and addresses are answered."""
    for name in ("localhost", f"localhost:{client.port}", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"):
        assert client.ask(HEALTH, headers={"Host": name}).status == 200
    for name in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "[::1",
        "a@localhost@b",
    ):
        answer = client.ask(HEALTH, headers={"Host": name})
        assert answer.status in {400, 421}, name
    for path in ("/", "/static/js/app.js", "/ping", "/?query=SELECT+1"):
        assert client.ask(path, headers={"Host": "evil.example"}).refusal == (
            421,
            "wrong_host",
            None,
        )


def test_request_from_another_site_is_refused(client: Client) -> None:
    """Also a simple request, which browsers send without asking. A link to the page is followed."""
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ):
        assert client.ask(HEALTH, headers=headers).refusal == (403, "foreign_origin", None)
    navigation = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.ask("/?query=SELECT+1", headers=navigation).refusal == (
        403,
        "foreign_origin",
        None,
    )
    assert client.ask("/", headers=navigation).status == 200
    origin = f"http://127.0.0.1:{client.port}"
    own = client.ask(HEALTH, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"})
    assert own.status == 200
    assert "access-control-allow-origin" not in own.headers


def test_every_answer_has_the_security_headers(client: Client) -> None:
    """The page loads nothing from other sites and is shown in no frame."""
    for path in ("/", HEALTH, "/api/v1/nothing", "/?query=SELECT+1"):
        headers = client.ask(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'self'" in headers["content-security-policy"]


def test_too_large_request_is_refused(client: Client) -> None:
    """By its announced length, its actual length, or its address."""
    announced = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
    assert b" 413 " in raw(client, announced).split(b"\r\n")[0]
    chunk = b"x" * 65536
    chunks = b"".join(b"10000\r\n" + chunk + b"\r\n" for _ in range(MOST_BYTES // 65536 + 2))
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 413 " in raw(client, head + chunks + b"0\r\n\r\n").split(b"\r\n")[0]
    assert client.ask("/?query=" + "x" * 40_000).status in {400, 414}
    assert client.ask(HEALTH).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_malformed_request_is_refused(client: Client, request_: bytes) -> None:
    """The server answers the next request."""
    answer = raw(client, request_)
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert client.ask(HEALTH).status == 200
