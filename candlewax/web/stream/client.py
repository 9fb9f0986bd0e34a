"""Client of the event stream: the events that wait for one page."""

import asyncio
from collections import deque
from typing import Final, NamedTuple

import msgspec

from candlewax.web import encode
from candlewax.web.queries import Series

TAPE: Final = 60
"""Trades that wait for a page; it shows no more."""


class Event(NamedTuple):
    """Name of an event, and its JSON."""

    name: bytes
    data: bytes


class StreamClient:
    """Events that wait for one page, bounded however slow it is.

    Of a candle, a market and the health only the latest state waits; of trades the last TAPE.
    """

    def __init__(self, series: Series) -> None:
        self.series = series
        self._series_fields = _encode_series(series)
        self._has_events = asyncio.Event()
        self._candles: dict[int, bytes] = {}
        self._trades: deque[bytes] = deque(maxlen=TAPE)
        self._tickers: dict[tuple[str, str], bytes] = {}
        self._health: bytes | None = None
        self._database: bytes | None = None
        self._received_us: int | None = None
        self._reset = False
        self._ended = False

    def put_candle(self, start: int, line: bytes) -> None:
        """Queue a candle that changed."""
        self._candles[start] = line
        self._has_events.set()

    def note_received(self, received_us: int) -> None:
        """Note the receive time (microseconds since 1970) of the newest queued trade."""
        self._received_us = max(received_us, self._received_us or 0)

    def put_trades(self, lines: list[bytes]) -> None:
        """Queue trades."""
        self._trades.extend(lines)
        self._has_events.set()

    def put_ticker(self, market: tuple[str, str], line: bytes) -> None:
        """Queue a market's new price."""
        self._tickers[market] = line
        self._has_events.set()

    def put_health(self, line: bytes) -> None:
        """Queue the status of feeds and database."""
        self._health = line
        self._has_events.set()

    def put_database(self, line: bytes) -> None:
        """Queue that the database is away or back."""
        self._database = line
        self._has_events.set()

    def reset(self) -> None:
        """Drop the queue and tell the page to read again, as changes were missed."""
        self._candles.clear()
        self._trades.clear()
        self._reset = True
        self._has_events.set()

    def end(self) -> None:
        """End the stream."""
        self._ended = True
        self._has_events.set()

    async def next(self, patience: float) -> bytes | None:
        """Return queued events as server-sent ones, a comment after `patience` seconds without
        any, None at the end.
        """
        events = await self._next_events(patience)
        if events is None:
            return None
        return b"".join(_server_sent(event) for event in events) or b": still here\n\n"

    async def next_message(self, patience: float) -> bytes | None:
        """Return queued events as a JSON array of [name, data]; it is empty after `patience`
        seconds without any. Return None at the end.
        """
        events = await self._next_events(patience)
        if events is None:
            return None
        return encode.array([b'["' + name + b'",' + data + b"]" for name, data in events])

    async def _next_events(self, patience: float) -> list[Event] | None:
        try:
            await asyncio.wait_for(self._has_events.wait(), patience)
        except TimeoutError:
            return []
        self._has_events.clear()
        return None if self._ended else self._drain()

    def _drain(self) -> list[Event]:
        events = []
        if self._database:
            events.append(Event(b"database", self._database))
            self._database = None
        if self._reset:
            events.append(Event(b"reset", b"{" + self._series_fields + b"}"))
            self._reset = False
        if self._candles:
            rows = encode.array([line for _, line in sorted(self._candles.items())])
            received_us = b"null" if self._received_us is None else str(self._received_us).encode()
            fields = b'"received_us":' + received_us + b',"data":' + rows
            events.append(self._series_event(b"candles", fields))
            self._candles.clear()
            self._received_us = None
        if self._trades:
            rows = encode.array(list(self._trades))
            events.append(self._series_event(b"trades", b'"data":' + rows))
            self._trades.clear()
        if self._tickers:
            events.append(Event(b"tickers", encode.array(list(self._tickers.values()))))
            self._tickers.clear()
        if self._health:
            events.append(Event(b"health", self._health))
            self._health = None
        return events

    def _series_event(self, name: bytes, fields: bytes) -> Event:
        return Event(name, b"{" + self._series_fields + b"," + fields + b"}")


def _encode_series(series: Series) -> bytes:
    """Return the JSON fields that name a series."""
    return msgspec.json.encode(series._asdict())[1:-1]


def _server_sent(event: Event) -> bytes:
    return b"event: " + event.name + b"\ndata: " + event.data + b"\n\n"
