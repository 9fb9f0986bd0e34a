"""ClickHouse's HTTP interface over the embedded engine: a server for tests.

`python -m tests.clickhouse.front DIRECTORY` serves the database of a directory until
SIGTERM; `tests.clickhouse.serving` runs that as a process. Of the interface it speaks what clients
use: queries and inserts in any format, parameters, settings, sessions, compression,
passwords, and errors with their codes.
"""

import argparse
import gzip
import io
import json
import os
import re
import signal
import tempfile
import threading
import uuid
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import parse_qsl, urlsplit

import zstandard
from chdb.state.sqlitelike import Connection

_lz4: Any
try:
    _lz4 = import_module("lz4.frame")
except ImportError:
    _lz4 = None

_OF_HTTP: Final = {
    "query", "database", "user", "password", "default_format", "session_id", "session_timeout",
    "session_check", "query_id", "quota_key", "role", "wait_end_of_query", "buffer_size",
    "client_protocol_version",
}  # fmt: skip
"""Parameters of a request that are no settings."""

_STATUS: Final = {
    **dict.fromkeys((6, 25, 26, 27, 38, 41, 53, 62, 72, 117, 456, 457), HTTPStatus.BAD_REQUEST),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115), HTTPStatus.NOT_FOUND),
    **dict.fromkeys((192, 193, 516), HTTPStatus.FORBIDDEN),
    48: HTTPStatus.NOT_IMPLEMENTED,
    209: HTTPStatus.SERVICE_UNAVAILABLE,
    373: HTTPStatus.LOCKED,
}
"""By the number of an error; any other is an internal one."""

_INSERT: Final = re.compile(
    rb"""(\s*INSERT\s(?:[^'"`;]|'(?:[^'\\]|\\.|'')*'|"[^"]*"|`[^`]*`)*?\b)"""
    rb"FORMAT\s+(\w+)[ \t]*;?[ \t]*(?:\r?\n)?",
    re.IGNORECASE | re.DOTALL,
)
"""An insert whose rows follow in a format, from the next line on."""

_SELECTS: Final = re.compile(
    rb"\s*\(*\s*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.IGNORECASE
)
_FORMAT: Final = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE: Final = re.compile(r"Code: (\d+)\. DB::Exception: ")


class RequestError(Exception):
    """A request that is refused, with the number ClickHouse has for it."""

    def __init__(self, code: int, text: str, name: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text} ({name})")


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    parameters: Mapping[str, str]
    sql: bytes
    reads_only: bool

    @property
    def settings(self) -> dict[str, str]:
        """What is to be set for the query."""
        named = {
            name: value
            for name, value in self.parameters.items()
            if name not in _OF_HTTP and not name.startswith("param_")
        }
        return {**named, "readonly": "2"} if self.reads_only else named

    @property
    def bound(self) -> dict[str, str]:
        """The values of the query's parameters."""
        return {
            name.removeprefix("param_"): value
            for name, value in self.parameters.items()
            if name.startswith("param_")
        }


@dataclass(frozen=True)
class Answer:
    """What the engine says."""

    body: bytes
    form: str | None
    summary: dict[str, str]


class Engine:
    """The embedded engine of a directory, used by as many threads as there are."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder.resolve())
        # It lives as long as one of its connections.
        self._kept = Connection(self._path)
        zone, self.version = self._kept.query("SELECT timezone(), version()", "TSV").data().split()
        self.zone = str(zone)
        self._sessions: set[str] = set()
        self._lock = threading.Lock()

    def run(self, request: Request, spool: IO[bytes]) -> Answer:
        """Answer a request on a connection of its own: it takes its settings with it."""
        with self._session(request.parameters.get("session_id", "")):
            connection = Connection(self._path)
            try:
                return _run(connection, request, spool)
            finally:
                connection.close()

    @contextmanager
    def _session(self, name: str) -> Iterator[None]:
        with self._lock:
            if name in self._sessions:
                text = f"Session {name} is locked by a concurrent client."
                raise RequestError(373, text, "SESSION_IS_LOCKED")
            self._sessions |= {name} - {""}
        try:
            yield
        finally:
            with self._lock:
                self._sessions.discard(name)

    def close(self) -> None:
        """Close the engine once nothing uses it."""
        self._kept.close()


def _quoted(text: str, mark: str = "'") -> str:
    escaped = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return f"{mark}{escaped}{mark}"


def _run(connection: Any, request: Request, spool: IO[bytes]) -> Answer:
    database = request.parameters.get("database") or "default"
    connection.query(f"USE {_quoted(database, '`')}")
    settings = _settings(request.settings)
    form = request.parameters.get("default_format") or "TabSeparated"
    found = _INSERT.match(request.sql)
    if found and found.end() < len(request.sql):
        sql = _from_file(found, settings, spool)
    else:
        sql = request.sql
        if settings:
            connection.query(f"SET {settings}")
    result = connection.query(sql, form, params=request.bound)
    return Answer(result.bytes() or b"", _form(sql, form), _summary(result))


def _settings(named: Mapping[str, str]) -> str:
    for name in named:
        if not re.fullmatch(r"\w+", name):
            raise RequestError(115, f"Unknown setting '{name}'", "UNKNOWN_SETTING")
    return ", ".join(f"{name} = {_quoted(value)}" for name, value in named.items())


def _from_file(found: re.Match[bytes], settings: str, spool: IO[bytes]) -> bytes:
    """The insert with its rows in a file, and with settings."""
    spool.seek(0)
    spool.write(memoryview(found.string)[found.end() :])
    spool.truncate()
    head, *own = re.split(rb"(?i)\bSETTINGS\s+(?=\w+\s*=)", found[1], maxsplit=1)
    file = f" FROM INFILE {_quoted(spool.name)} ".encode()
    # What the statement says itself comes last and holds.
    clauses = b", ".join(filter(None, (settings.encode(), *own)))
    return head + file + (b"SETTINGS " + clauses if clauses else b"") + b" FORMAT " + found[2]


def _form(sql: bytes, default: str) -> str | None:
    """The format of a query's rows; None if it has none."""
    if not _SELECTS.match(re.sub(rb"^(\s*--[^\n]*\n)+", b"", sql)):
        return None
    found = _FORMAT.search(sql)
    return found[1].decode() if found else default


def _summary(result: Any) -> dict[str, str]:
    numbers = {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
        "elapsed_ns": int(result.elapsed() * 1e9),
    }
    return {name: str(number) for name, number in numbers.items()}


def _inflate(data: bytes, encoding: str) -> bytes:
    if encoding not in _CODECS:
        raise RequestError(48, f"Unknown compression method: {encoding}", "NOT_IMPLEMENTED")
    return _CODECS[encoding][0](data)


def _from_zstd(data: bytes) -> bytes:
    # Each block of a client is a frame of its own; the same for LZ4.
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


def _from_lz4(data: bytes) -> bytes:
    with _lz4.open(io.BytesIO(data), "rb") as reader:
        return bytes(reader.read())


def _to_lz4(data: bytes) -> bytes:
    return bytes(_lz4.compress(data))


_Codec = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]

_CODECS: Final[dict[str, _Codec]] = {
    "identity": (bytes, bytes),
    "zstd": (_from_zstd, lambda data: zstandard.ZstdCompressor(level=1).compress(data)),
    "gzip": (gzip.decompress, lambda data: gzip.compress(data, 1)),
    "deflate": (zlib.decompress, zlib.compress),
}
if _lz4:
    _CODECS["lz4"] = (_from_lz4, _to_lz4)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "Front"

    def setup(self) -> None:
        super().setup()
        self._spool = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115 - in finish

    def finish(self) -> None:
        self._spool.close()
        super().finish()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/ping" or (self.command != "POST" and not parts.query):
            self._send(HTTPStatus.OK, b"Ok.\n", {})
        elif parts.path == "/":
            self._answer()
        else:
            self._send(HTTPStatus.NOT_FOUND, b"There is no handle " + parts.path.encode(), {})

    do_POST = do_GET  # noqa: N815 - the library's name
    do_HEAD = do_GET  # noqa: N815

    def _answer(self) -> None:
        try:
            body = self._body()
            with self.server.busy:
                answer = self._run(body)
        except Exception as error:  # noqa: BLE001 - all of them are the client's to know
            self._refuse(str(error))
            return
        headers = {"X-ClickHouse-Summary": json.dumps(answer.summary)}
        if answer.form:
            headers["X-ClickHouse-Format"] = answer.form
        self._send(HTTPStatus.OK, answer.body, headers)

    def _run(self, body: bytes) -> Answer:
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            given, body = {**given, **_fields(kind, body)}, b""
        self._check(given)
        self._parameters = given
        query = given.get("query", "").encode()
        sql = query + b"\n" + body if query and body else query or body
        return self.server.engine.run(Request(given, sql, self.command != "POST"), self._spool)

    def _check(self, given: Mapping[str, str]) -> None:
        user, password = given.get("user", "default"), given.get("password", "")
        user = self.headers.get("X-ClickHouse-User", user)
        password = self.headers.get("X-ClickHouse-Key", password)
        kind, _, coded = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = b64decode(coded).decode().partition(":")
        if (user, password) != self.server.account:
            text = (
                f"{user}: Authentication failed: password is incorrect, "
                "or there is no user with such name."
            )
            raise RequestError(516, text, "AUTHENTICATION_FAILED")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b"".join(self._chunks())
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return _inflate(data, self.headers.get("Content-Encoding", "identity"))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _refuse(self, text: str) -> None:
        found = _CODE.search(text)
        code = int(found[1]) if found else 1002
        text = text[found.start() :] if found else f"Code: 1002. DB::Exception: {text} (UNKNOWN)"
        status = _STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
        body = f"{text.strip()} (version {self.server.engine.version})\n".encode()
        self._send(status, body, {"X-ClickHouse-Exception-Code": str(code)})

    def _send(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        encoding = self._encoding()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("X-ClickHouse-Timezone", self.server.engine.zone)
        self.send_header("X-ClickHouse-Query-Id", self._parameter("query_id") or str(uuid.uuid4()))
        for name, value in headers.items():
            self.send_header(name, value)
        if encoding:
            body = _CODECS[encoding][1](body)
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _parameter(self, name: str) -> str:
        return dict(parse_qsl(urlsplit(self.path).query)).get(name, "")

    def _encoding(self) -> str | None:
        if self._parameter("enable_http_compression") != "1":
            return None
        offered = [name.strip() for name in self.headers.get("Accept-Encoding", "").split(",")]
        return next((name for name in offered if name in _CODECS.keys() - {"identity"}), None)


def _fields(kind: str, body: bytes) -> dict[str, str]:
    """The fields of a form."""
    form: Any = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in form.get_payload():
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = part.get_payload(decode=True).decode()
    return fields


class Front(ThreadingHTTPServer):
    """The server: a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Engine, port: int, account: tuple[str, str]) -> None:
        self.engine = engine
        self.account = account
        self.busy = Busy()
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, *_: object) -> None:
        """Clients come and go."""


class Busy:
    """Counts the requests that are being answered."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._over = False

    def __enter__(self) -> None:
        with self._changed:
            if self._over:
                raise RequestError(236, "The server is shutting down.", "ABORTED")
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def end(self, seconds: float) -> bool:
        """Let no more begin; whether all ended in time."""
        with self._changed:
            self._over = True
            return self._changed.wait_for(lambda: not self._count, timeout=seconds)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="ClickHouse over HTTP, for tests.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    chosen = parser.parse_args()
    numbers = {signal.SIGTERM, signal.SIGINT}
    # Threads inherit it: the signals wait for the main one.
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    chosen.directory.mkdir(parents=True, exist_ok=True)
    engine = Engine(chosen.directory)
    front = Front(engine, chosen.port, (chosen.user, chosen.password))
    threading.Thread(target=front.serve_forever, daemon=True, args=(0.05,)).start()
    print(f"listening on {front.server_port}", flush=True)
    signal.sigwait(numbers)
    front.shutdown()
    front.server_close()
    if front.busy.end(10):
        engine.close()
    # Threads that wait for a client's next word need no farewell.
    os._exit(0)


if __name__ == "__main__":
    main()
