"""Requests that cannot be answered: on every address, whatever its parameters, headers and body
are, the answer is one of 4xx that says what is wrong, and the connection holds.
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
"""Values that no parameter takes, or only some."""

FEW: Final = (
    "", " ", "-1", "NaN", "\0", "a\r\nX-Injected: 1", "ü", "\U0001f4a9", "%zz", "'", "`", "\\",
    "{x}",
    str(10**30), "9" * 5000, "x" * 9000, "Europe/Nowhere",
)  # fmt: skip
"""Those for SQL, as each is asked of the engine."""

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


class Said(NamedTuple):
    """The status, the head and the body of an answer."""

    status: int
    head: str
    body: bytes

    @property
    def parameter(self) -> str | None:
        """The parameter that a refusal is about."""
        return dict(json.loads(self.body)["error"]).get("parameter")


class Raw:
    """Sends bytes as they are."""

    def __init__(self, port: int, routes: list[Any]) -> None:
        self.port = port
        self.routes = routes

    def ask(
        self, target: bytes, head: bytes = b"", body: bytes = b"", method: bytes = b"GET"
    ) -> Said:
        """The answer to one request. What is sent again (a host, a length) is not added."""
        lines = [method + b" " + target + b" HTTP/1.1", head]
        if not head.startswith(b"Host:"):
            lines.append(b"Host: localhost")
        if not head.startswith((b"Content-Length:", b"Transfer-Encoding:")):
            lines.append(b"Content-Length: %d" % len(body))
        lines.append(b"Connection: close")
        request = b"\r\n".join(line for line in lines if line) + b"\r\n\r\n" + body
        with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
            connection.sendall(request)
            said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        head, _, body = said.partition(b"\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 "), (request[:300], said[:300])
        return Said(int(said[9:12]), head.decode("latin-1"), body)


@pytest.fixture(scope="module")
def raw(engine: Database, engine_path: Path) -> Iterator[Raw]:
    with (
        filled_tables(engine, engine_path, "of_bad_requests", 3, 3) as opened,
        serving(opened, engine_path) as served,
    ):
        yield Raw(served.client.port, served.routes)


def refused(said: Said, *context: object) -> None:
    """It is a refusal, with a text, and nothing was put into its head."""
    assert 400 <= said.status < 500, (context, said)
    assert said.body.strip(), context
    assert "x-injected" not in said.head.lower(), context


def paths() -> dict[str, list[dict[str, Any]]]:
    """The addresses of the API as its document tells them, and the parameters of each."""
    told = document("/api/v1")["paths"]
    return {
        path: [one for one in about["get"]["parameters"] if one["in"] == "query"]
        for path, about in told.items()
        if path != "/"
    }


def filled(path: str) -> str:
    return path.replace("{timeframe}", "1m")


def needed(parameters: list[dict[str, Any]]) -> Mapping[str, str]:
    return {one["name"]: MARKET[one["name"]] for one in parameters if one["required"]}


def test_the_document_tells_every_address_of_the_application(raw: Raw) -> None:
    """So that none is left out here."""
    routes = {route.path for route in raw.routes if isinstance(route, Route)}
    assert routes == {*paths(), "/", "/ping", "/openapi.json"}
    assert [route.path for route in raw.routes if isinstance(route, Mount)] == ["/static"]


@pytest.mark.parametrize("path", sorted(paths()))
def test_a_value_that_a_parameter_does_not_take_is_refused_by_its_name(raw: Raw, path: str) -> None:
    """Whatever the value is. What is taken is answered, or refused for what it asks."""
    parameters = paths()[path]
    streams = path.endswith("/stream")
    for name in [*(one["name"] for one in parameters), "unknown", "FROM", "ü", "\0", "a\r\nb"]:
        known = name in {one["name"] for one in parameters}
        for value in WILD:
            given = {**needed(parameters), name: value}
            if streams and given.get("symbol") != MARKET["symbol"]:
                # It waits for such a market.
                continue
            said = raw.ask(f"{filled(path)}?{urlencode(given)}".encode())
            if said.status == 200:
                assert known, (path, name, value)
                assert is_taken(path, name, value), (path, name, value, said.body[:200])
                continue
            refused(said, path, name, value)
            if said.status != 414:
                assert said.parameter == name, (path, name, value, said)


def is_taken(path: str, name: str, value: str) -> bool:
    """Whether a parameter takes a value, by rules of its own."""
    if name in {"from", "to"}:
        return value in {"0", "1.5", "2147483648"}
    # Of any name there may be gaps.
    return path.endswith("/gaps") and name == "symbol" and 1 <= len(value) <= 100


@pytest.mark.parametrize("path", sorted(paths()))
def test_a_parameter_that_comes_twice_or_in_vain_is_named(raw: Raw, path: str) -> None:
    """Also where both say the same."""
    parameters = paths()[path]
    for one in parameters:
        given = [*needed(parameters).items(), (one["name"], "1"), (one["name"], "1")]
        said = raw.ask(f"{filled(path)}?{urlencode(given)}".encode())
        refused(said, path, one)
        assert said.parameter == one["name"]
    for number in range(len(needed(parameters))):
        left = dict(needed(parameters))
        name = list(left)[number]
        del left[name]
        said = raw.ask(f"{filled(path)}?{urlencode(left)}".encode())
        refused(said, path, left)
        assert said.parameter == name


def test_a_path_that_is_none_is_refused(raw: Raw) -> None:
    """Also one that leads out of a folder."""
    for value in WILD:
        for path in ("/api/v1/ohlcv/", "/api/v1/", "/static/", "/static/js/", "/nothing/"):
            said = raw.ask(f"{path}{quote(value, safe='')}?{urlencode(MARKET)}".encode())
            if said.status not in {200, 304, 307}:
                refused(said, path, value)
            else:
                # A redirection to the address without the slash.
                assert (path, value) == ("/api/v1/", ""), said


def test_query_strings_that_no_client_sends_are_refused(raw: Raw) -> None:
    """On every address that takes parameters."""
    for path in [*map(filled, paths()), "/?query=SELECT+1&param_x=", "/ping", "/openapi.json"]:
        for query in RAW:
            said = raw.ask(path.encode() + (b"&" if "?" in path else b"?") + query)
            if said.status != 200:
                refused(said, path, query)


def test_odd_headers_are_refused_or_left_out(raw: Raw) -> None:
    """With every kind of address."""
    market = urlencode(MARKET)
    for target in (f"/api/v1/ohlcv/1m?{market}", "/api/v1", "/", "/?query=SELECT+1", "/ping"):
        for head in HEADERS:
            for method in (b"GET", b"POST", b"HEAD", b"OPTIONS"):
                said = raw.ask(target.encode(), head, method=method)
                if said.status not in {200, 304}:
                    assert 400 <= said.status < 500, (target, head, method, said)


def test_forms_that_cannot_be_read_are_refused(raw: Raw) -> None:
    """Each body as each kind of form."""
    for kind in TYPES:
        for body in FORM:
            for target in (b"/", b"/?query=SELECT+1", b"/?param_x=1"):
                said = raw.ask(target, b"Content-Type: " + kind, body, b"POST")
                if said.status != 200:
                    refused(said, kind, body, target)


@pytest.mark.parametrize("name", OF_SQL)
def test_sql_with_odd_parameters_is_answered_or_refused(raw: Raw, name: str) -> None:
    """By the client's fault: nothing here is the server's."""
    for value in FEW:
        given = {"query": "SELECT {x:String}", "param_x": "1", name: value}
        said = raw.ask(f"/?{urlencode(given)}".encode())
        # ClickHouse's own number for what a server does not have.
        if said.status != 200 and (name, said.status) != ("compress", 501):
            refused(said, name, value)


def test_random_requests_are_answered_or_refused(raw: Raw) -> None:
    """Any bytes as names and values, from one seed."""
    chance = random.Random(21)
    names = [one["name"] for one in chain.from_iterable(paths().values())] + list(OF_SQL)
    targets = [filled(path) for path in paths() if not path.endswith("/stream")] + ["/", "/ping"]
    for _ in range(300):
        pairs = []
        for _ in range(chance.randrange(4)):
            name = chance.choice(names).encode() if chance.random() < 0.7 else chance.randbytes(3)
            size = chance.choice((0, 1, 3, 30))
            value = (
                chance.choice(WILD).encode() if chance.random() < 0.5 else chance.randbytes(size)
            )
            pairs.append(f"{quote_from_bytes(name)}={quote_from_bytes(value)}")
        target = f"{chance.choice(targets)}?{'&'.join(pairs)}"
        said = raw.ask(target.encode(), method=chance.choice((b"GET", b"POST")))
        if said.status not in {200, 304} and "compress=" not in target:
            refused(said, target)
