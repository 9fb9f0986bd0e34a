"""What may stand between a client and its server, and go wrong."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

CLOSED: Final = "closed before anything is passed on"
RESET: Final = "reset before anything is passed on"
LOST: Final = "passed on, the answer lost"
HALF: Final = "passed on, the connection closed within the head of the answer"

Fault = str | int | tuple[int, int]
"""One of those above, a status, or a status and a number of ClickHouse."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "Faulty"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        inserts = "query=INSERT" in self.path
        fault = self.server.faults.pop(0) if inserts and self.server.faults else None
        if fault in {CLOSED, RESET}:
            self._drop(reset=fault == RESET)
        elif isinstance(fault, int):
            self._refuse(fault, None)
        elif isinstance(fault, tuple):
            self._refuse(*fault)
        else:
            self._pass_on(body, fault)

    do_POST = do_GET  # noqa: N815 - the library's name

    def _drop(self, *, reset: bool = False) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _refuse(self, status: int, code: int | None) -> None:
        text = f"Code: {code}. DB::Exception: Not now. (BUSY)" if code else "<html>Not now</html>"
        head = {"X-ClickHouse-Exception-Code": str(code)} if code else {}
        self._send(status, text.encode(), head)

    def _pass_on(self, body: bytes, fault: str | None) -> None:
        connection = HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, HTTPException):
            self._drop()
            return
        finally:
            connection.close()
        if not fault:
            kept = {k: v for k, v in answer.getheaders() if k.startswith(("X-", "Content-E"))}
            self._send(answer.status, said, kept)
            return
        self.server.after()
        if fault == HALF:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-ClickHouse-Progress: {}\r\n")
            self.wfile.flush()
        self._drop()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(HTTPStatus(status))
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class Faulty(ThreadingHTTPServer):
    """Passes requests on to a port, but for each coming insert does what `faults` say,
    None being nothing.

    `after` is called when a server has stored what it will not be heard to say.
    """

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.faults: list[Fault | None] = []
        self.after: Callable[[], object] = lambda: None
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Whoever waits for an answer learns of it."""


@contextmanager
def faulty(behind: int) -> Iterator[Faulty]:
    """Such a thing, for as long as the block lasts."""
    with Faulty(behind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
