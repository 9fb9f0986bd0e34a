"""The client against a server: what it waits for, what it refuses, what it never tells."""

import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import MAX_BYTES, Client, RefusalError, RetryPolicy
from candlewax.feeds.rest.worker import WorkerStopped

ROW = (
    '{"id":7,"price":"4.0","qty":"12.0","quoteQty":"48.0","time":1499865549590,'
    '"isBuyerMaker":true,"isBestMatch":true}'
)
Answered = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

GOOD: Answered = (200, {}, f"[{ROW}]".encode())


class Scripted(ThreadingHTTPServer):
    """Answers what it is told to, one after another, the last one for ever."""

    daemon_threads = True

    def __init__(self, answers: list[Answered]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, dict(self.headers)))
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
def serving(*answers: Answered) -> Iterator[Scripted]:
    with Scripted(list(answers)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Clock:
    """Time that passes only where one waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.going = True

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.going


class Highest(random.Random):
    """Chance that never shortens a pause."""

    def random(self) -> float:
        return 1.0


def client(
    server: Scripted,
    clock: Clock,
    exchange: str = "binance",
    key: str | None = None,
    chance: random.Random | None = None,
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
        random_numbers=chance or Highest(),
    )


def refused(asking: Client, target: str = "/x") -> RefusalError:
    with pytest.raises(RefusalError) as refusal:
        asking.ask(target)
    return refusal.value


def test_an_answer_comes_verbatim() -> None:
    """With what it holds, and the path and query as they were asked for."""
    with serving(GOOD) as server:
        answer = client(server, Clock()).ask("/api/v3/historicalTrades?symbol=A%2FB")
    assert answer.text == f"[{ROW}]"
    assert answer.page.numbers == [7]
    assert [path for path, _ in server.asked] == ["/api/v3/historicalTrades?symbol=A%2FB"]
    assert server.asked[0][1]["User-Agent"] == "candlewax"


def test_requests_keep_to_the_budget() -> None:
    """A burst at once, then no more than so many a second."""
    clock = Clock()
    with serving(GOOD) as server:
        asking = client(server, clock, requests_per_s=4.0, burst=3)
        for _ in range(7):
            asking.ask("/x")
    assert clock.waits == pytest.approx([0.25] * 4)
    clock.now += 60
    with serving(GOOD) as server:
        asking = client(server, clock, requests_per_s=4.0, burst=3)
        for _ in range(4):
            asking.ask("/x")
    assert len(clock.waits) == 5


def test_it_waits_as_long_as_the_exchange_tells() -> None:
    """Retry-After, with 429 and 418 alike; then all is well."""
    clock = Clock()
    slow = (429, {"Retry-After": "7"}, b'{"code":-1003,"msg":"Too much request weight used."}')
    ban = (418, {"Retry-After": "120"}, b'{"code":-1003,"msg":"banned"}')
    with serving(slow, ban, GOOD, GOOD) as server:
        asking = client(server, clock)
        assert not refused(asking).is_permanent
        assert not refused(asking).is_permanent
        asking.ask("/x")
        asking.ask("/x")
    assert clock.waits == [7, 120]


@pytest.mark.parametrize("told", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 40])
def test_what_it_is_told_may_be_nonsense(told: str) -> None:
    """Then it waits as if it had not been told, and never more than three days."""
    clock = Clock()
    with serving((429, {"Retry-After": told}, b"{}"), GOOD) as server:
        asking = client(server, clock)
        refused(asking)
        asking.ask("/x")
    assert clock.waits == [3 * 86400.0 if told.startswith("9") else 1]


def test_it_waits_longer_each_time() -> None:
    """Twice as long up to a bound, and not at all after a success."""
    clock = Clock()
    with serving(*[(503, {}, b"<html>")] * 5, GOOD, (500, {}, b""), GOOD) as server:
        asking = client(server, clock)
        for _ in range(5):
            assert refused(asking).reason == "status 503"
        asking.ask("/x")
        refused(asking)
        asking.ask("/x")
    assert clock.waits == [1, 2, 4, 8, 8, 1]


def test_failures_before_a_limit_make_its_pause_no_shorter() -> None:
    """Failures of the exchange, and then too many requests: the pauses go on growing where
    Retry-After tells less, and follow it where it tells more.
    """
    failed: Answered = (503, {}, b"<html>")
    for told, last in (("2", 8), ("30", 30)):
        clock = Clock()
        with serving(failed, failed, failed, (429, {"Retry-After": told}, b"{}"), GOOD) as server:
            asking = client(server, clock)
            for status in (503, 503, 503, 429):
                assert refused(asking).reason == f"status {status}"
            asking.ask("/x")
        assert clock.waits == [1, 2, 4, last]


def test_pauses_are_cut_by_chance() -> None:
    """By up to a half, so that many do not come back at once."""
    clock = Clock()
    with serving((500, {}, b"")) as server:
        asking = client(server, clock, chance=random.Random(1))
        for _ in range(6):
            refused(asking)
    full = [1, 2, 4, 8, 8]
    assert all(most / 2 <= wait <= most for wait, most in zip(clock.waits, full, strict=True))
    assert clock.waits != full


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, {}, b"<html>maintenance</html>"), "the answer is no JSON"),
        ((200, {}, b"\xff\xfe"), "the answer is no JSON"),
        ((200, {}, b'{"trades":[]}'), "an answer that is none"),
        ((200, {}, b""), "the answer is no JSON"),
        ((200, {"Content-Length": "9000"}, b"[]"), "no answer from"),
        ((200, {}, b"[" + b" " * MAX_BYTES + b"]"), "an answer of more than"),
        ((302, {"Location": "/elsewhere"}, b""), "status 302"),
        ((400, {}, b'{"code":-1100,"msg":"Illegal characters"}'), "Illegal characters"),
    ],
)
def test_what_is_no_answer(answer: Answered, reason: str) -> None:
    """Garbage, what is cut or far too long, and redirects: refused, perhaps not next time."""
    with serving(answer) as server:
        thrown = refused(client(server, Clock()))
    assert reason in thrown.reason
    assert not thrown.is_permanent
    assert len(server.asked) == 1


def test_what_never_comes() -> None:
    """An exchange that knows no such market is believed, and nobody waits for it."""
    clock = Clock()
    with serving((400, {}, b'{"code":-1121,"msg":"Invalid symbol."}'), GOOD) as server:
        asking = client(server, clock)
        assert refused(asking).is_permanent
        asking.ask("/x")
    assert clock.waits == []


def test_nobody_is_there() -> None:
    """As any other failure."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        server = type("Gone", (), {"url": f"http://127.0.0.1:{nobody.getsockname()[1]}"})
        thrown = refused(client(server, Clock()))  # type: ignore[arg-type]
    assert "no answer from" in thrown.reason


def test_a_key_is_shown_to_the_exchange_and_to_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Where an exchange takes one; also when it refuses."""
    with caplog.at_level(logging.DEBUG), serving((500, {}, b"")) as server:
        asking = client(server, Clock(), key="secret-key")
        thrown = refused(asking)
        refused(client(server, Clock(), "kraken", key="secret-key"))
    assert server.asked[0][1]["X-MBX-APIKEY"] == "secret-key"
    assert "secret-key" not in str(server.asked[1])
    assert "secret-key" not in f"{caplog.text} {thrown} {asking}"


def test_most_of_what_is_allowed_is_spent() -> None:
    """Then it waits for the next minute."""
    clock = Clock()
    spent = (200, {"X-MBX-USED-WEIGHT-1M": "5999"}, GOOD[2])
    with serving(spent, GOOD, GOOD) as server:
        asking = client(server, clock)
        for _ in range(3):
            asking.ask("/x")
    (wait,) = clock.waits
    assert 0 < wait <= 60


@pytest.mark.parametrize(
    ("spent", "second", "waits"),
    [
        ("4500", 15, []), ("4501", 15, [45]), ("4501", 59, [1]), ("4501", 0, [60]), ("", 15, []),
        ("-9999", 15, []), ("9_999", 15, []),
    ],
)  # fmt: skip
def test_next_minute_is_waited_for_once_more_is_spent_than_may_be(
    monkeypatch: pytest.MonkeyPatch, spent: str, second: int, waits: list[float]
) -> None:
    """It begins by the wall clock; a header that counts nothing is passed over."""
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: 1_790_000_040.0 + second)
    with serving((200, {"X-MBX-USED-WEIGHT-1M": spent}, GOOD[2]), GOOD) as server:
        asking = client(server, clock)
        for _ in range(2):
            asking.ask("/x")
    assert clock.waits == waits


def test_who_is_stopped_asks_no_more() -> None:
    """Not even once more."""
    with serving((500, {}, b"")) as server:
        clock = Clock()
        clock.going = False
        asking = client(server, clock)
        refused(asking)
        with pytest.raises(WorkerStopped):
            asking.ask("/x")
    assert len(server.asked) == 1
