"""Invalid requests: each endpoint refuses any invalid parameter, header and body with a status of
4xx and a message, and never breaks the connection.
"""

import json
import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_from_bytes, urlencode

import pytest
from starlette.routing import Mount, Route

from candlewax.clickhouse.bar_table import BarTable
from candlewax.clickhouse.client import Database
from candlewax.core.bars.rules import parse_rules
from candlewax.web.api.openapi import document
from candlewax.web.binance_api.queries import BASES
from tests.support.bad_requests import FEW, FORM, HEADERS, OF_SQL, RAW, TYPES, WILD
from tests.support.web_server import MARKET, filled_tables, serving


class Reply(NamedTuple):
    """The status, headers and body of an answer."""

    status: int
    head: str
    body: bytes

    @property
    def parameter(self) -> str | None:
        """The parameter that the error names."""
        return dict(json.loads(self.body)["error"]).get("parameter")


def received(connection: socket.socket) -> bytes:
    """Return what came until the end, also if the server resets an unread request."""
    parts: list[bytes] = []
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


class Raw:
    """A client that sends raw bytes."""

    def __init__(self, port: int, routes: list[Any]) -> None:
        self.port = port
        self.routes = routes

    def ask(
        self, target: bytes, head: bytes = b"", body: bytes = b"", method: bytes = b"GET"
    ) -> Reply:
        """Send one request. A host or length is added unless `head` has it."""
        lines = [method + b" " + target + b" HTTP/1.1", head]
        if not head.startswith(b"Host:"):
            lines.append(b"Host: localhost")
        if not head.startswith((b"Content-Length:", b"Transfer-Encoding:")):
            lines.append(b"Content-Length: %d" % len(body))
        lines.append(b"Connection: close")
        request = b"\r\n".join(line for line in lines if line) + b"\r\n\r\n" + body
        with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
            connection.sendall(request)
            answer = received(connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 "), (request[:300], answer[:300])
        return Reply(int(answer[9:12]), head.decode("latin-1"), body)


@pytest.fixture(scope="module")
def raw(engine: Database, engine_path: Path) -> Iterator[Raw]:
    with (
        filled_tables(engine, engine_path, "of_bad_requests", 3, 3) as opened,
        serving(opened, engine_path) as served,
    ):
        BarTable(opened).refresh(MARKET["exchange"], MARKET["symbol"], parse_rules(["tick 2"]))
        yield Raw(served.client.port, served.routes)


def assert_refused(reply: Reply, *context: object) -> None:
    """Assert that it is a 4xx with a body, and that no header was injected."""
    assert 400 <= reply.status < 500, (context, reply)
    assert reply.body.strip(), context
    assert "x-injected" not in reply.head.lower(), context


def paths() -> dict[str, list[dict[str, Any]]]:
    """The paths of the OpenAPI document, and the query parameters of each."""
    documented = document("/api/v1")["paths"]
    return {
        path: [spec for spec in item["get"]["parameters"] if spec["in"] == "query"]
        for path, item in documented.items()
        if path.startswith("/api/v1")
    }


def of_binance() -> dict[str, list[dict[str, Any]]]:
    """The paths in Binance's shape, and the query parameters of each."""
    documented = document("/api/v1")["paths"]
    return {
        path: [spec for spec in item["get"]["parameters"] if spec["in"] == "query"]
        for path, item in documented.items()
        if path.startswith("/api/v3")
    }


def with_timeframe(path: str) -> str:
    return path.replace("{timeframe}", "1m")


def required(parameters: list[dict[str, Any]]) -> Mapping[str, str]:
    known = {**MARKET, "base": "BTC", "quote": "USDT", "kind": "tick", "threshold": "2"}
    return {spec["name"]: known[spec["name"]] for spec in parameters if spec["required"]}


def test_openapi_document_lists_every_route(raw: Raw) -> None:
    """So the tests of this file cover each of them."""
    routes = {route.path for route in raw.routes if isinstance(route, Route)}
    others = {"/ping", "/openapi.json", "/docs", *(f"{base}/{{rest:path}}" for base in BASES)}
    assert routes == {*document("/api/v1")["paths"], *others}
    assert [route.path for route in raw.routes if isinstance(route, Mount)] == ["/static"]


@pytest.mark.parametrize("path", sorted(paths()))
def test_invalid_value_of_a_parameter_is_refused_by_name(raw: Raw, path: str) -> None:
    """For each parameter, unknown ones too. An answer is given only if the value is valid."""
    parameters = paths()[path]
    streams = path.endswith("/stream")
    for name in [*(spec["name"] for spec in parameters), "unknown", "FROM", "ü", "\0", "a\r\nb"]:
        is_known = name in {spec["name"] for spec in parameters}
        for value in WILD:
            request = {**required(parameters), name: value}
            if streams and request.get("symbol") != MARKET["symbol"]:
                # The stream waits for a market that is not stored.
                continue
            reply = raw.ask(f"{with_timeframe(path)}?{urlencode(request)}".encode())
            if reply.status == 200:
                assert is_known, (path, name, value)
                assert is_valid(path, name, value), (path, name, value, reply.body[:200])
                continue
            assert_refused(reply, path, name, value)
            if reply.status != 414:
                assert reply.parameter == name, (path, name, value, reply)


def is_valid(path: str, name: str, value: str) -> bool:
    """Return whether the value is valid, by rules independent of the product."""
    if name in {"from", "to"}:
        # The last one is in milliseconds.
        return value in {"0", "1.5", "2147483648", "253402300800"}
    if name == "closed":
        return value in {"true", "0"}
    # These are answered for any symbol.
    is_open = path.endswith(("/gaps", "/tickers", "/reconciliations"))
    return is_open and name == "symbol" and 1 <= len(value) <= 100


@pytest.mark.parametrize("path", sorted(of_binance()))
def test_invalid_value_of_an_address_of_binance_is_refused(raw: Raw, path: str) -> None:
    """In its form; an answer is given only to what may be valid."""
    address = path.replace("{exchange}", "binance")
    for name in [*(spec["name"] for spec in of_binance()[path]), "unknown", "ü", "\0"]:
        for value in WILD:
            request = {"symbol": "BTCUSDT", "interval": "1m", name: value}
            taken = {spec["name"] for spec in of_binance()[path]} | {name}
            request = {key: text for key, text in request.items() if key in taken}
            reply = raw.ask(f"{address}?{urlencode(request)}".encode())
            if reply.status != 200:
                assert_refused(reply, path, name, value)
                if reply.status != 414:
                    assert json.loads(reply.body)["code"] < 0
            else:
                assert name not in {"unknown", "ü", "\0", "symbol", "interval"}, (name, value)


@pytest.mark.parametrize("path", sorted(paths()))
def test_repeated_or_missing_parameter_is_refused_by_name(raw: Raw, path: str) -> None:
    """A parameter is refused even if both values are equal."""
    parameters = paths()[path]
    for spec in parameters:
        request = [*required(parameters).items(), (spec["name"], "1"), (spec["name"], "1")]
        reply = raw.ask(f"{with_timeframe(path)}?{urlencode(request)}".encode())
        assert_refused(reply, path, spec)
        assert reply.parameter == spec["name"]
    for number in range(len(required(parameters))):
        incomplete = dict(required(parameters))
        name = list(incomplete)[number]
        del incomplete[name]
        reply = raw.ask(f"{with_timeframe(path)}?{urlencode(incomplete)}".encode())
        assert_refused(reply, path, incomplete)
        assert reply.parameter == name


def test_unknown_path_is_refused(raw: Raw) -> None:
    """Also a path that leads out of a folder."""
    for value in WILD:
        for path in ("/api/v1/ohlcv/", "/api/v1/", "/static/", "/static/js/", "/nothing/"):
            reply = raw.ask(f"{path}{quote(value, safe='')}?{urlencode(MARKET)}".encode())
            if reply.status not in {200, 304, 307}:
                assert_refused(reply, path, value)
            else:
                # A redirect to the path without the slash.
                assert (path, value) == ("/api/v1/", ""), reply


def test_malformed_query_string_is_refused(raw: Raw) -> None:
    """On each path; a query string may also be ignored or valid."""
    for path in [
        *map(with_timeframe, paths()),
        "/?query=SELECT+1&param_x=",
        "/ping",
        "/openapi.json",
    ]:
        for query in RAW:
            reply = raw.ask(path.encode() + (b"&" if "?" in path else b"?") + query)
            if reply.status != 200:
                assert_refused(reply, path, query)


def test_invalid_header_is_refused_or_ignored(raw: Raw) -> None:
    """For each kind of endpoint and each method."""
    market = urlencode(MARKET)
    for target in (f"/api/v1/ohlcv/1m?{market}", "/api/v1", "/", "/?query=SELECT+1", "/ping"):
        for head in HEADERS:
            for method in (b"GET", b"POST", b"HEAD", b"OPTIONS"):
                reply = raw.ask(target.encode(), head, method=method)
                if reply.status not in {200, 304}:
                    assert 400 <= reply.status < 500, (target, head, method, reply)


def test_malformed_form_is_refused(raw: Raw) -> None:
    """Each body with each content type."""
    for kind in TYPES:
        for body in FORM:
            for target in (b"/", b"/?query=SELECT+1", b"/?param_x=1"):
                reply = raw.ask(target, b"Content-Type: " + kind, body, b"POST")
                if reply.status != 200:
                    assert_refused(reply, kind, body, target)


@pytest.mark.parametrize("name", OF_SQL)
def test_sql_with_an_invalid_parameter_is_answered_or_refused(raw: Raw, name: str) -> None:
    """Never with a status of 5xx, which would blame the server."""
    for value in FEW:
        request = {"query": "SELECT {x:String}", "param_x": "1", name: value}
        reply = raw.ask(f"/?{urlencode(request)}".encode())
        # ClickHouse's own status for a feature that a server lacks.
        if reply.status != 200 and (name, reply.status) != ("compress", 501):
            assert_refused(reply, name, value)


def test_random_requests_are_answered_or_refused(raw: Raw) -> None:
    """Random bytes as names and values, from a fixed seed."""
    rng = random.Random(21)
    names = [spec["name"] for spec in chain.from_iterable(paths().values())] + list(OF_SQL)
    targets = [with_timeframe(path) for path in paths() if not path.endswith("/stream")] + [
        "/",
        "/ping",
    ]
    for _ in range(300):
        pairs = []
        for _ in range(rng.randrange(4)):
            name = rng.choice(names).encode() if rng.random() < 0.7 else rng.randbytes(3)
            size = rng.choice((0, 1, 3, 30))
            value = rng.choice(WILD).encode() if rng.random() < 0.5 else rng.randbytes(size)
            pairs.append(f"{quote_from_bytes(name)}={quote_from_bytes(value)}")
        target = f"{rng.choice(targets)}?{'&'.join(pairs)}"
        reply = raw.ask(target.encode(), method=rng.choice((b"GET", b"POST")))
        if reply.status not in {200, 304} and "compress=" not in target:
            assert_refused(reply, target)
