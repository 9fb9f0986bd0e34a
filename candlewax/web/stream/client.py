"""One page that watches: what it has not been sent yet, and only the latest of it."""

import asyncio
from collections import deque
from typing import Final

import msgspec

from candlewax.web import encode
from candlewax.web.queries import Series

TAPE: Final = 60
"""Trades that wait for a page; more than it shows are of no use."""


class StreamClient:
    """What waits to be sent to one page. However slow it is, no more waits than it can
    show: of a candle, a market, or the health the latest, of trades the last few.
    """

    def __init__(self, series: Series) -> None:
        self.series = series
        self._head = _identity(series)
        self._news = asyncio.Event()
        self._candles: dict[int, bytes] = {}
        self._trades: deque[bytes] = deque(maxlen=TAPE)
        self._tickers: dict[tuple[str, str], bytes] = {}
        self._health: bytes | None = None
        self._database: bytes | None = None
        self._seen: int | None = None
        self._reset = False
        self._ended = False

    def candle(self, start: int, line: bytes) -> None:
        """A candle changed."""
        self._candles[start] = line
        self._news.set()

    def seen(self, received: int) -> None:
        """When (microseconds since 1970) the newest trade of what waits was received."""
        self._seen = max(received, self._seen or 0)

    def trades(self, lines: list[bytes]) -> None:
        """Trades were made."""
        self._trades.extend(lines)
        self._news.set()

    def ticker(self, market: tuple[str, str], line: bytes) -> None:
        """A market's price moved."""
        self._tickers[market] = line
        self._news.set()

    def health(self, line: bytes) -> None:
        """How the feeds are."""
        self._health = line
        self._news.set()

    def database(self, line: bytes) -> None:
        """The database is away, or there again."""
        self._database = line
        self._news.set()

    def reset(self) -> None:
        """Something was missed: the page has to read anew."""
        self._candles.clear()
        self._trades.clear()
        self._reset = True
        self._news.set()

    def end(self) -> None:
        """Nothing more will be sent."""
        self._ended = True
        self._news.set()

    async def next(self, patience: float) -> bytes | None:
        """Events as they are sent, when there is news or patience is at its end; None
        when there will be none.
        """
        try:
            await asyncio.wait_for(self._news.wait(), patience)
        except TimeoutError:
            return b": still here\n\n"
        self._news.clear()
        return None if self._ended else self._take()

    def _take(self) -> bytes:
        parts = []
        if self._database:
            parts.append(_event(b"database", self._database))
            self._database = None
        if self._reset:
            parts.append(_event(b"reset", b"{" + self._head + b"}"))
            self._reset = False
        if self._candles:
            rows = encode.array([line for _, line in sorted(self._candles.items())])
            seen = b"null" if self._seen is None else str(self._seen).encode()
            parts.append(self._of_series(b"candles", b'"received_us":' + seen + b',"data":' + rows))
            self._candles.clear()
            self._seen = None
        if self._trades:
            parts.append(self._of_series(b"trades", b'"data":' + encode.array(list(self._trades))))
            self._trades.clear()
        if self._tickers:
            parts.append(_event(b"tickers", encode.array(list(self._tickers.values()))))
            self._tickers.clear()
        if self._health:
            parts.append(_event(b"health", self._health))
            self._health = None
        return b"".join(parts)

    def _of_series(self, name: bytes, fields: bytes) -> bytes:
        return _event(name, b"{" + self._head + b"," + fields + b"}")


def _identity(series: Series) -> bytes:
    """Return the fields of an object that say to which series it belongs."""
    return msgspec.json.encode(series._asdict())[1:-1]


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
