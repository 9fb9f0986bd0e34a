"""Invalid requests: each endpoint refuses any invalid parameter, header and body with a status of
4xx and a message, and never breaks the connection.
"""

import json
import random
import socket
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_from_bytes, urlencode

import pytest
from starlette.routing import Mount, Route

from candlewax.clickhouse.client import Database
from candlewax.web.api.openapi import document
from candlewax.web.binance_api.queries import BASES
from tests.support.web_server import MARKET, filled_tables, serving

WILD: Final = (
    "", " ", "0", "-1", "1.5", "NaN", "nan", "inf", "-Infinity", "1e400", "true", "null", "[]",
    "{}",
    "\0", "a\0b", "a\nb", "a\r\nX-Injected: 1", "\u2028", "ÿ", "ü", "价格", "\U0001f4a9", "\ud7ff",
    "%",
    "%zz", "%00", "{x:String}", "' OR 1=1 --", "`", "\\", "../../etc/passwd", "<script>", "$where",
    "2147483648", "4294967296", "9223372036854775808", "18446744073709551616", "253402300800",
    "-62135596801", str(10**30), str(-(10**30)), "9" * 400, "9" * 5000, "0" * 5000, "x" * 101,
    "x" * 9000, "\uff11\uff12", "\u0663", "1_000", "+5", "0x10", "2026-13-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59", "2026-09-15T00:00:00", "2026-09-15T00:00:00+99:99",
    "1969-12-31T00:00Z",
    "2106-01-01T00:00:00Z", "~~", "2026-09-14T12:00:00.000000~-1~1",
    "2026-09-14T12:00:00.000000~1e3~1",
    f"2026-09-14T12:00:00.000000~{2**64}~1", f"2026-09-14T12:00:00.000000~{'9' * 5000}~1",
    "0001-01-01T00:00:00.000000~1~1", "9999-12-31T23:59:59.999999~1~\0",
)  # fmt: skip
"""Values that are invalid for most parameters."""

FEW: Final = (
    "", " ", "-1", "NaN", "\0", "a\r\nX-Injected: 1", "ü", "\U0001f4a9", "%zz", "'", "`", "\\",
    "{x}",
    str(10**30), "9" * 5000, "x" * 9000, "Europe/Nowhere",
)  # fmt: skip
"""The values for SQL, fewer because each reaches the engine."""

RAW: Final = (
    b"%", b"%z", b"%zz", b"%ff%fe", b"%c3", b"%ed%a0%80", b"%00", b"%0d%0a", b"%u0041", b"+",
    b"%25ff",
    b"&&&", b"=", b"=x", b"%ff=1", b"symbol", b"symbol=%ff", b"limit=%", b"from=%f0%28%8c%28",
    b";", b"a=1;b=2", b"a[]=1", b"\x7f", b"\xff", b"\x00", b"#", b"?", b"a b", b"x" * 40_000,
    b"&".join(b"a%d=1" % number for number in range(3_000)),
)  # fmt: skip
"""Query strings, some of which no client would send."""

HEADERS: Final = (
    b"Origin: http://[", b"Origin: \xff\xfe", b"Origin: null", b"Origin: ://", b"Host: [::1",
    b"Host:",
    b"Accept: \xff", b"Accept: ;;;q=nan", b"Accept: */*;q=" + b"9" * 5000,
    b"Accept: text/csv;q=nan",
    b"If-None-Match: \xff, W/, *", b"Content-Length: -1", b"Content-Length: " + b"9" * 5000,
    b"Content-Length: 1e3", b"Content-Length: \xb2", b"Transfer-Encoding: x", b"Expect: x",
    b"Sec-Fetch-Site: \xff", b"Authorization: Basic \xff", b"Authorization: Basic /////w==",
    b"Authorization: Basic =", b"Cookie: " + b"x" * 60_000, b"X-ClickHouse-Format: \xff",
    b"X-ClickHouse-Format: " + b"x" * 9000, b"X-ClickHouse-Database: \xff`; DROP",
    b"Range: bytes=9-1",
    b"X-ClickHouse-User: \xff", b"X-ClickHouse-Key: " + b"k" * 9000, b"Accept-Encoding: \xff",
    b"Content-Encoding: zstd", b"Content-Type: \xff", b"X" * 3000 + b": 1",
)  # fmt: skip

FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT \xff\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1',
    b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nSELECT 1\r\n--b--\r\n',
    b"--b\r\nContent-Disposition: form-data\r\n\r\nSELECT 1\r\n--b--\r\n",
    b"--b\r\n\r\n\r\n--b--\r\n", b"--b", b"", b"\xff\xfe\x00", b"--b--",
    b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    b'--b\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name="query"'
    b"\r\n\r\n!!!!\r\n--b--\r\n",
)  # fmt: skip
TYPES: Final = (
    b"multipart/form-data; boundary=b", b"multipart/form-data", b"multipart/form-data; boundary=",
    b"multipart/form-data; boundary=\xff", b"multipart/form-data; boundary=" + b"b" * 5000,
    b"multipart/form-data; charset=nope; boundary=b", b"multipart/form-data;\x0bboundary=b",
)  # fmt: skip

OF_SQL: Final = (
    "query", "database", "default_format", "query_id", "session_id", "session_timezone",
    "max_execution_time", "limit", "offset", "date_time_output_format", "password",
    "enable_http_compression", "compress", "param_x", "param_", "a b", "max_threads", "readonly",
)  # fmt: skip


class Reply(NamedTuple):
    """The status, headers and body of an answer."""

    status: int
    head: str
    body: bytes

    @property
    def parameter(self) -> str | None:
        """The parameter that the error names."""
        return dict(json.loads(self.body)["error"]).get("parameter")


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
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 "), (request[:300], answer[:300])
        return Reply(int(answer[9:12]), head.decode("latin-1"), body)


@pytest.fixture(scope="module")
def raw(engine: Database, engine_path: Path) -> Iterator[Raw]:
    with (
        filled_tables(engine, engine_path, "of_bad_requests", 3, 3) as opened,
        serving(opened, engine_path) as served,
    ):
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
    return {spec["name"]: MARKET[spec["name"]] for spec in parameters if spec["required"]}


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
    # Gaps and tickers are answered for any symbol.
    is_open = path.endswith(("/gaps", "/tickers"))
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
