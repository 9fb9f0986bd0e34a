"""Times at which candles became readable, and latencies of trades that follow from them.

A trade is readable once the insert of a one-minute candle of its market and minute, with at least
its sequence, was acknowledged. A query reads all markets.
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

QUERY: Final = (
    "SELECT exchange, symbol, toUnixTimestamp(window_start), last_sequence FROM ohlcv FINAL "
    "WHERE timeframe = '1m' AND window_start >= now() - 150 "
    "SETTINGS max_threads = 1, max_final_threads = 1"
)

PAUSE_S: Final = 0.5
"""Seconds between an answer and the next query.

A query costs some milliseconds of a core, which must not slow down the measured processes."""

Candle = tuple[str, str, int]
"""Exchange, symbol, minute."""


@dataclass
class Stamps:
    """Times (ns) at which each candle was stored, with its last sequence then."""

    stored: dict[Candle, list[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Iterable[tuple[int, pl.DataFrame]]) -> "Stamps":
        """Return the stamps of rows of `ohlcv` with the time each frame was acknowledged."""
        stamps = cls()
        for now_ns, frame in stored:
            minutes = frame.filter(pl.col("timeframe") == 1).select(
                "exchange",
                pl.col("symbol").cast(pl.String),
                pl.col("window_start").dt.epoch("s") // 60,
                "last_sequence",
            )
            for *candle, last in minutes.iter_rows():
                stamps.add((candle[0], candle[1], candle[2]), now_ns, last)
        return stamps

    def add(self, candle: Candle, now_ns: int, last_sequence: int) -> None:
        """Add that a candle with this last sequence could be read, unless it could before."""
        stamps_of_candle = self.stored.setdefault(candle, [])
        if not stamps_of_candle or stamps_of_candle[-1][1] < last_sequence:
            stamps_of_candle.append((now_ns, last_sequence))

    def write(self, path: Path) -> None:
        """Write the stamps to a file."""
        path.write_text(
            json.dumps(
                [[*candle, stamps_of_candle] for candle, stamps_of_candle in self.stored.items()]
            )
        )

    @classmethod
    def read(cls, path: Path) -> "Stamps":
        """Return the stamps of a file."""
        rows: list[Any] = json.loads(path.read_text())
        return cls({(row[0], row[1], row[2]): row[3] for row in rows})


@dataclass
class Polls:
    """Answers: the time (ns) of each query, and the last sequence of each candle."""

    answers: list[tuple[int, dict[Candle, int]]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, answer: bytes, asked_ns: int) -> None:
        """Add an answer."""
        last_sequences: dict[Candle, int] = {}
        for line in answer.decode().splitlines():
            exchange, symbol, start, last = line.split("\t")
            last_sequences[(exchange, symbol, int(start) // 60)] = int(last)
        self.answers.append((asked_ns, last_sequences))

    def confirm(self, stamps: Stamps) -> int:
        """Return how many acknowledged candles the queries found.

        Raises RuntimeError if a candle that was acknowledged before a query was not found.
        """
        confirmed = 0
        for asked_ns, last_sequences in self.answers:
            for candle, last in last_sequences.items():
                stamps_of_candle = stamps.stored.get(candle, [])
                place = bisect_left(stamps_of_candle, asked_ns, key=lambda stamp: stamp[0])
                if place and stamps_of_candle[place - 1][1] > last:
                    raise RuntimeError(f"{candle} was acknowledged and could not be read")
                confirmed += bool(place)
        return confirmed


class Poller:
    """Sends queries until stopped."""

    def __init__(self, ask: Callable[[], bytes]) -> None:
        self.polls = Polls()
        self._ask = ask
        self._stop = threading.Event()

    def run(self) -> None:
        """Send queries in this thread."""
        polls = self.polls
        while not self._stop.wait(PAUSE_S):
            asked_ns, asked_at = time.time_ns(), time.monotonic()
            polls.add(self._ask(), asked_ns)
            polls.seconds += time.monotonic() - asked_at

    def stop(self) -> None:
        """Stop sending queries."""
        self._stop.set()


def over_http(port: int, database: str = "market") -> Callable[[], bytes]:
    """Return a function that queries a server on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    path = f"/?{urlencode({'database': database})}"

    def ask() -> bytes:
        connection.request("POST", path, QUERY.encode())
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(body.decode())
        return body

    return ask


class Sent(NamedTuple):
    """Trade of the simulator's journal."""

    sent_ns: int
    candle: Candle
    number: int


def journal(path: Path, instruments: Instruments, exchanges: Iterable[str]) -> list[Sent]:
    """Return the trades of these exchanges that were sent on a websocket."""
    included, trades = set(exchanges), []
    for line in path.read_text().splitlines():
        sent_ns, exchange, native_symbol, number, time_us, *_, skipped = line.split("\t")
        instrument = instruments.resolve(exchange, native_symbol)
        if exchange in included and instrument and skipped == "false":
            minute = int(time_us) // 60_000_000
            trades.append(Sent(int(sent_ns), (exchange, instrument.symbol, minute), int(number)))
    return trades


def latencies(trades: Iterable[Sent], stamps: Stamps) -> tuple[list[float], int]:
    """Return the milliseconds from sent to readable, and how many were never readable."""
    latencies_ms, never = [], 0
    for sent_ns, candle, number in trades:
        stored = stamps.stored.get(candle, [])
        place = bisect_left(stored, number, key=lambda stamp: stamp[1])
        if place == len(stored):
            never += 1
        else:
            latencies_ms.append((stored[place][0] - sent_ns) / 1e6)
    return latencies_ms, never


def summary(latencies_ms: list[float]) -> dict[str, float]:
    """Return median, 90th and 99th percentile and maximum in milliseconds."""
    if len(latencies_ms) < 2:
        return {}
    cut = quantiles(latencies_ms, n=1000, method="inclusive")
    values = {"p50_ms": cut[499], "p90_ms": cut[899], "p99_ms": cut[989]}
    values["max_ms"] = max(latencies_ms)
    return {name: round(value, 1) for name, value in values.items()}
