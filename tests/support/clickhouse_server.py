"""ClickHouse's HTTP interface over the embedded engine: a server for tests.

`python -m tests.support.clickhouse_server DIRECTORY` serves the database of a directory until
SIGTERM; `tests.support.clickhouse_process` runs that as a process. Of the interface it speaks
what clients use: queries and inserts in any format, parameters, settings, sessions,
compression, passwords, and errors with their codes.
"""

import argparse
import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import parse_qsl, urlsplit

from candlewax.clickhouse.engine import in_utc
from candlewax.web.sql import http_protocol
from candlewax.web.sql.compression import COMPRESSORS, choose_encoding
from candlewax.web.sql.http_protocol import Answer, Request, RequestError
from tests.support.compression import inflate

with in_utc():
    from chdb.state.sqlitelike import Connection

_INSERT: Final = re.compile(
    rb"""(\s*INSERT\s(?:[^'"`;]|'(?:[^'\\]|\\.|'')*'|"[^"]*"|`[^`]*`)*?\b)"""
    rb"FORMAT\s+(\w+)[ \t]*;?[ \t]*(?:\r?\n)?",
    re.IGNORECASE | re.DOTALL,
)
"""An insert whose rows follow in a format, from the next line on."""


class Engine:
    """The embedded engine of a directory, used by as many threads as there are."""

    def __init__(self, folder: Path) -> None:
        # A server allows backups where its configuration says.
        self._path = f"{folder.resolve()}?backups.allowed_path={folder.resolve().parent}"
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


def _run(connection: Any, request: Request, spool: IO[bytes]) -> Answer:
    database = request.parameters.get("database") or "default"
    connection.query(f"USE {http_protocol.quote(database, '`')}")
    only = {"readonly": "2"} if request.reads_only else {}
    settings = http_protocol.settings_clause({**request.settings, **only})
    found = _INSERT.match(request.sql)
    if found and found.end() < len(request.sql):
        sql = _from_file(found, settings, spool)
    else:
        sql = request.sql
        if settings:
            connection.query(f"SET {settings}")
    result = connection.query(sql, request.form, params=request.query_parameters)
    return http_protocol.answer(result, sql, request.form)


def _from_file(found: re.Match[bytes], settings: str, spool: IO[bytes]) -> bytes:
    """The insert with its rows in a file, and with settings."""
    spool.seek(0)
    spool.write(memoryview(found.string)[found.end() :])
    spool.truncate()
    head, *own = re.split(rb"(?i)\bSETTINGS\s+(?=\w+\s*=)", found[1], maxsplit=1)
    file = f" FROM INFILE {http_protocol.quote(spool.name)} ".encode()
    # What the statement says itself comes last and holds.
    clauses = b", ".join(filter(None, (settings.encode(), *own)))
    return head + file + (b"SETTINGS " + clauses if clauses else b"") + b" FORMAT " + found[2]


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
            self._refuse(error)
            return
        self._send(HTTPStatus.OK, answer.body, answer.headers)

    def _run(self, body: bytes) -> Answer:
        headers = {name.lower(): text for name, text in self.headers.items()}
        given, request = http_protocol.read(
            self._parameters(), headers, body, reads_only=self.command != "POST"
        )
        user, password = http_protocol.read_account(headers, given)
        if (user, password) != self.server.account:
            raise http_protocol.authentication_error(user)
        return self.server.engine.run(request, self._spool)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b"".join(self._chunks())
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return inflate(data, self.headers.get("Content-Encoding", "identity"))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _refuse(self, error: Exception) -> None:
        otherwise = HTTPStatus.INTERNAL_SERVER_ERROR
        refused = http_protocol.refuse(error, self.server.engine.version, otherwise)
        self._send(HTTPStatus(refused.status), refused.body, refused.headers)

    def _send(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        given = self._parameters()
        encoding = choose_encoding(given, self.headers.get("Accept-Encoding", ""))
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        for name, value in {
            **http_protocol.common_headers(self.server.engine.zone, "test", given),
            **headers,
        }.items():
            self.send_header(name, value)
        if encoding:
            body = COMPRESSORS[encoding](body)
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))


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
