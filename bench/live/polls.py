"""When candles could be read: who asks again and again, and what that says of trades.

A question is one query for all markets. A trade is readable at the first answer whose
one-minute candle of its market and minute reaches its number.
"""

import http.client
import json
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from candlewax.instruments import Instruments

QUESTION: Final = (
    "SELECT exchange, symbol, toUnixTimestamp(window_start), last_sequence FROM ohlcv FINAL "
    "WHERE timeframe = '1m' AND window_start >= now() - 150 "
    "SETTINGS max_threads = 1, max_final_threads = 1"
)

EVERY: Final = 0.02
"""Seconds between an answer and the next question: a question costs some milliseconds of
a core, and what is measured must not be made slow by it.
"""

Candle = tuple[str, str, int]
"""Exchange, symbol, minute."""


@dataclass
class Polls:
    """What was answered: for each candle the times (ns) at which it was seen to have
    changed, and its last number then.
    """

    count: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    """Of the process that asks, for asking; where it does nothing else."""
    began_ns: int = 0
    ended_ns: int = 0
    seen: dict[Candle, list[tuple[int, int]]] = field(default_factory=dict)

    def add(self, answer: bytes, now_ns: int) -> None:
        """Take in an answer."""
        for line in answer.decode().splitlines():
            exchange, symbol, start, last = line.split("\t")
            seen = self.seen.setdefault((exchange, symbol, int(start) // 60), [])
            if not seen or seen[-1][1] < int(last):
                seen.append((now_ns, int(last)))

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        held = asdict(self)
        held["seen"] = [[*candle, seen] for candle, seen in self.seen.items()]
        path.write_text(json.dumps(held))

    @classmethod
    def read(cls, path: Path) -> "Polls":
        """What a file holds."""
        held: dict[str, Any] = json.loads(path.read_text())
        held["seen"] = {(one[0], one[1], one[2]): one[3] for one in held["seen"]}
        return cls(**held)


class Poller:
    """Asks until it is told to stop."""

    def __init__(self, ask: Callable[[], bytes]) -> None:
        self.polls = Polls()
        self._ask = ask
        self._stop = threading.Event()

    def run(self) -> None:
        """Ask, in this thread."""
        polls, began = self.polls, time.thread_time()
        polls.began_ns = time.time_ns()
        while not self._stop.is_set():
            asked = time.monotonic()
            answer = self._ask()
            polls.add(answer, time.time_ns())
            polls.seconds += time.monotonic() - asked
            polls.count += 1
            self._stop.wait(EVERY)
        polls.ended_ns = time.time_ns()
        polls.cpu = time.thread_time() - began

    def stop(self) -> None:
        """Let it end."""
        self._stop.set()


def over_http(port: int, database: str = "market") -> Callable[[], bytes]:
    """Asks a server, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    path = f"/?{urlencode({'database': database})}"

    def ask() -> bytes:
        connection.request("POST", path, QUESTION.encode())
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(body.decode())
        return body

    return ask


class Sent(NamedTuple):
    """A trade of the simulator's journal."""

    sent_ns: int
    candle: Candle
    number: int


def journal(path: Path, known: Instruments, exchanges: Iterable[str]) -> list[Sent]:
    """The trades of these exchanges that came on a socket."""
    wanted, trades = set(exchanges), []
    for line in path.read_text().splitlines():
        sent_ns, exchange, native, number, time_us, *_, skipped = line.split("\t")
        found = known.resolve(exchange, native)
        if exchange in wanted and found and skipped == "false":
            minute = int(time_us) // 60_000_000
            trades.append(Sent(int(sent_ns), (exchange, found.symbol, minute), int(number)))
    return trades


def latencies(trades: Iterable[Sent], polls: Polls) -> tuple[list[float], int]:
    """Milliseconds from sent to readable, and how many were never readable."""
    found, never = [], 0
    for sent_ns, candle, number in trades:
        seen = polls.seen.get(candle, [])
        place = bisect_left(seen, number, key=lambda one: one[1])
        if place == len(seen):
            never += 1
        else:
            found.append((seen[place][0] - sent_ns) / 1e6)
    return found, never


def summary(found: list[float]) -> dict[str, float]:
    """Median, 99th percentile and longest, in milliseconds."""
    if len(found) < 2:
        return {}
    cut = quantiles(found, n=1000, method="inclusive")
    named = {"p50_ms": cut[499], "p90_ms": cut[899], "p99_ms": cut[989], "max_ms": max(found)}
    return {name: round(value, 1) for name, value in named.items()}
