"""When candles could be read: from when on, who asks for them, and what that says of trades.

A trade is readable once the insert of a one-minute candle of its market and minute that
reaches its number was acknowledged. A question is one query for all markets.
"""

import http.client
import json
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import polars as pl

from candlewax.core.instruments import Instruments

QUESTION: Final = (
    "SELECT exchange, symbol, toUnixTimestamp(window_start), last_sequence FROM ohlcv FINAL "
    "WHERE timeframe = '1m' AND window_start >= now() - 150 "
    "SETTINGS max_threads = 1, max_final_threads = 1"
)

EVERY: Final = 0.5
"""Seconds between an answer and the next question: a question costs some milliseconds of
a core, and what is measured must not be made slow by it.
"""

Candle = tuple[str, str, int]
"""Exchange, symbol, minute."""


@dataclass
class Stamps:
    """For each candle the times (ns) at which it was stored, and its last number then."""

    stored: dict[Candle, list[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Iterable[tuple[int, pl.DataFrame]]) -> "Stamps":
        """Of rows of `ohlcv`, with the time each frame of them was acknowledged."""
        found = cls()
        for now_ns, frame in stored:
            minutes = frame.filter(pl.col("timeframe") == 1).select(
                "exchange",
                pl.col("symbol").cast(pl.String),
                pl.col("window_start").dt.epoch("s") // 60,
                "last_sequence",
            )
            for *candle, last in minutes.iter_rows():
                its = found.stored.setdefault((candle[0], candle[1], candle[2]), [])
                if not its or its[-1][1] < last:
                    its.append((now_ns, last))
        return found

    def write(self, path: Path) -> None:
        """Keep them in a file."""
        path.write_text(json.dumps([[*candle, its] for candle, its in self.stored.items()]))

    @classmethod
    def read(cls, path: Path) -> "Stamps":
        """What a file holds."""
        held: list[Any] = json.loads(path.read_text())
        return cls({(one[0], one[1], one[2]): one[3] for one in held})


@dataclass
class Polls:
    """What was answered to whoever asked: when (ns) the question was put, and for each
    candle its last number.
    """

    answers: list[tuple[int, dict[Candle, int]]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, answer: bytes, asked_ns: int) -> None:
        """Take in an answer."""
        found: dict[Candle, int] = {}
        for line in answer.decode().splitlines():
            exchange, symbol, start, last = line.split("\t")
            found[(exchange, symbol, int(start) // 60)] = int(last)
        self.answers.append((asked_ns, found))

    def confirm(self, stamps: Stamps) -> int:
        """Count what was seen of what had been acknowledged before the question; raises
        RuntimeError if any of it was not there.
        """
        confirmed = 0
        for asked_ns, found in self.answers:
            for candle, last in found.items():
                its = stamps.stored.get(candle, [])
                place = bisect_left(its, asked_ns, key=lambda one: one[0])
                if place and its[place - 1][1] > last:
                    raise RuntimeError(f"{candle} was acknowledged and could not be read")
                confirmed += bool(place)
        return confirmed


class Poller:
    """Asks until it is told to stop."""

    def __init__(self, ask: Callable[[], bytes]) -> None:
        self.polls = Polls()
        self._ask = ask
        self._stop = threading.Event()

    def run(self) -> None:
        """Ask, in this thread."""
        polls = self.polls
        while not self._stop.wait(EVERY):
            asked_ns, asked = time.time_ns(), time.monotonic()
            polls.add(self._ask(), asked_ns)
            polls.seconds += time.monotonic() - asked

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


def latencies(trades: Iterable[Sent], stamps: Stamps) -> tuple[list[float], int]:
    """Milliseconds from sent to readable, and how many were never readable."""
    found, never = [], 0
    for sent_ns, candle, number in trades:
        seen = stamps.stored.get(candle, [])
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
