"""Age of the answers of SQL, and delay of a page's stream, as clients of `candlewax up` see them.

An answer lacks a trade if its market's candles end at a lower sequence. Staleness is the age, when
a query begins, of the oldest trade sent before that its answer lacks; 0 if it lacks none.
"""

import http.client
import json
import random
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from bench.live.polls import Candle, Sent, Stamps

QUERY: Final = (
    "SELECT exchange, symbol, max(last_sequence) FROM ohlcv WHERE timeframe = '1m' "
    "GROUP BY exchange, symbol"
)

LONGEST_PAUSE_S: Final = 0.1
"""Longest pause between an answer and the next query; random, to meet every state alike."""

Market = tuple[str, str]
"""Exchange and symbol."""

WATCHED: Final[Market] = ("binance", "BTC/USDT")
"""Market whose one-minute candles the stream has, the busiest."""

_TIMEOUT_S: Final = 30.0


@dataclass
class Answer:
    """Time (ns) at which a query began, how long it took, and the last sequence by market."""

    began_ns: int
    took_ms: float
    last_sequences: dict[Market, int] = field(default_factory=dict)


def ask(port: int, seconds: float) -> list[Answer]:
    """Send queries for so long, and return the answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    chance, answers = random.Random(1), []  # noqa: S311 - the same in every run
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began_ns, began_at = time.time_ns(), time.perf_counter()
        connection.request("POST", "/", QUERY.encode())
        response = connection.getresponse()
        body = response.read()
        took_ms = (time.perf_counter() - began_at) * 1000
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(body.decode())
        answers.append(Answer(began_ns, took_ms, _last_sequences(body)))
        time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
    connection.close()
    return answers


def _last_sequences(body: bytes) -> dict[Market, int]:
    rows = (line.split("\t") for line in body.decode().splitlines())
    return {(exchange, symbol): int(last) for exchange, symbol, last in rows}


def staleness_ms(answers: Iterable[Answer], trades: Iterable[Sent]) -> list[float]:
    """Return the staleness of each answer in milliseconds.

    Raises RuntimeError if an answer holds a trade that was never sent.
    """
    by_market: dict[Market, list[Sent]] = {}
    for trade in trades:
        by_market.setdefault(trade.candle[:2], []).append(trade)
    for sent in by_market.values():
        sent.sort(key=lambda trade: trade.number)
    ages_ms = []
    for answer in answers:
        oldest_ns = answer.began_ns
        for market, sent in by_market.items():
            last = answer.last_sequences.get(market, 0)
            if last > sent[-1].number:
                raise RuntimeError(f"{market} has trade {last}, which was never sent")
            place = bisect_right(sent, last, key=lambda trade: trade.number)
            if place < len(sent):
                oldest_ns = min(oldest_ns, sent[place].sent_ns)
        ages_ms.append((answer.began_ns - oldest_ns) / 1e6)
    return ages_ms


class StreamReader:
    """Reads the stream of a page in a thread, with the time of each event."""

    def __init__(self, port: int, market: Market = WATCHED) -> None:
        exchange, symbol = market
        self._market = market
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        fields = urlencode({"exchange": exchange, "symbol": symbol, "timeframe": "1m"})
        self._connection.request("GET", f"/api/v1/stream?{fields}")
        self._response = self._connection.getresponse()
        self._lines: list[tuple[int, bytes]] = []
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._has_ended and (line := self._response.readline()):
            self._lines.append((time.time_ns(), line))

    def end(self) -> Stamps:
        """End with the next event, and return when each candle came with which last sequence."""
        self._has_ended = True
        self._thread.join(_TIMEOUT_S)
        self._connection.close()
        return candle_stamps(self._market, self._lines)


def candle_stamps(market: Market, lines: Iterable[tuple[int, bytes]]) -> Stamps:
    """Return the stamps of the candles in lines of a stream, each with its time (ns)."""
    stamps, event = Stamps(), b""
    for now_ns, line in lines:
        name, _, text = line.strip().partition(b": ")
        if name == b"event":
            event = text
        elif name == b"data" and event == b"candles":
            for row in json.loads(text)["data"]:
                begin = datetime.fromisoformat(row["window_start"])
                candle: Candle = (*market, int(begin.timestamp()) // 60)
                stamps.add(candle, now_ns, row["last_sequence"])
    return stamps
