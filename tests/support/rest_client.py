"""REST client with a clock that tests move, and a server with scripted responses."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Client, RefusalError, RetryPolicy

ROW = (
    '{"id":7,"price":"4.0","qty":"12.0","quoteQty":"48.0","time":1499865549590,'
    '"isBuyerMaker":true,"isBestMatch":true}'
)
Response = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

OK_RESPONSE: Response = (200, {}, f"[{ROW}]".encode())


class ScriptedServer(ThreadingHTTPServer):
    """HTTP server that sends the given responses in order, the last one for ever."""

    daemon_threads = True

    def __init__(self, answers: list[Response]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out together: the body would wait for the client's acknowledgement.
    wbufsize = -1
    server: ScriptedServer

    def do_GET(self) -> None:
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        status, headers, body = server.answers[0]
        if len(server.answers) > 1:
            server.answers.pop(0)
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = "Content-Length" in headers

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*answers: Response) -> Iterator[ScriptedServer]:
    with ScriptedServer(list(answers)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Clock:
    """Clock that moves only while a client waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.going = True

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.going


class LongestPauses(random.Random):
    """Random numbers that never shorten a pause."""

    def random(self) -> float:
        return 1.0


def make_client(
    server: ScriptedServer,
    clock: Clock,
    exchange: str = "binance",
    key: str | None = None,
    random_numbers: random.Random | None = None,
    **changes: Any,
) -> Client:
    rest = replace(EXCHANGES[exchange].rest, **{"requests_per_s": 1000.0, "burst": 1000, **changes})
    return Client(
        rest,
        server.url,
        key,
        wait=clock.wait,
        now=lambda: clock.now,
        retry_policy=RetryPolicy(first_backoff_s=1, max_backoff_s=8, connect_s=5, answer_s=5),
        random_numbers=random_numbers or LongestPauses(),
    )


def request_refused(rest_client: Client, target: str = "/x") -> RefusalError:
    with pytest.raises(RefusalError) as refusal:
        rest_client.ask(target)
    return refusal.value
