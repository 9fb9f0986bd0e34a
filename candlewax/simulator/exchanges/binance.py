"""Binance's side of a websocket connection, spot and USD-M futures.

Source: Binance Spot API documentation, "WebSocket Streams", sections "General WSS information" and
"Live Subscribing/Unsubscribing to streams".
"""

import asyncio
import json
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames import control
from candlewax.simulator.frames.channels import BinanceSpot, BinanceUsdm, Bundle, Feed

_BARE, _MICROSECONDS = 1, 2
"""Bits of a form: no envelope, and times in microseconds."""

_POLICY: Final = 1008
_GOING_AWAY: Final = 1001

_CODE_REQUEST, _CODE_JSON = 2, 3
_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS")


class _Bare(Feed):
    """Feed without the envelope of a combined stream."""

    single = True

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def opening(self, names: Sequence[str], time_us: int) -> Iterable[str]:  # type: ignore[override]
        return self._feed.opening(names, time_us)

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        text = self._feed.trades(bundle, sent_us)
        return text[text.index('"data":') + len('"data":') : -1]


def feeds(kind: type[BinanceSpot] | type[BinanceUsdm]) -> list[Feed]:
    """Return the feed of each form."""
    milliseconds, microseconds = kind(), kind(unit_us=1)
    return [milliseconds, _Bare(milliseconds), microseconds, _Bare(microseconds)]


class BinanceSession(Client):
    """Connection of a Binance client. Unknown streams may be subscribed; they stay silent."""

    _is_disconnected = False

    def __init__(self, venue: Venue, connection: ServerConnection, number: int) -> None:
        super().__init__(venue, connection, number)
        self._times: deque[float] = deque(maxlen=venue.limits.messages)
        self._streams: dict[str, None] = {}
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        is_bare = parts.path.split("/")[2:3] == ["ws"]
        microseconds = query.get("timeUnit", [""])[0].upper() == "MICROSECOND"
        self.form = (_BARE if is_bare else 0) | (_MICROSECONDS if microseconds else 0)
        streams = (
            query.get("streams", [""])[0].split("/") if not is_bare else parts.path.split("/")[3:]
        )
        self._initial_streams = [stream for stream in streams if stream]

    def send_greeting(self) -> None:
        self._subscribe(self._initial_streams)

    def background_tasks(self) -> Iterable[Coroutine[None, None, None]]:
        limits = self.venue.limits
        return self.ping(limits.ping_every, limits.pong_within), self._end_at_max_age()

    def handle_message(self, message: str) -> None:
        if self._is_disconnected:
            return
        now = asyncio.get_running_loop().time()
        is_too_often = len(self._times) == self._times.maxlen and now - self._times[0] < 1
        self._times.append(now)
        if is_too_often:
            self._disconnect("Too many requests")
            return
        try:
            request = json.loads(message)
        except ValueError as error:
            self.send(control.binance_error(_CODE_JSON, f"Invalid JSON: {error}", None))
            return
        self._handle_request(request)

    def _handle_request(self, request: Any) -> None:  # noqa: ANN401 - JSON may be anything
        number = request.get("id") if isinstance(request, dict) else None
        fault = _request_fault(request)
        if fault:
            self.send(control.binance_error(_CODE_REQUEST, f"Invalid request: {fault}", number))
            return
        if request["method"] == "LIST_SUBSCRIPTIONS":
            self.send(control.binance_ack(number, list(self._streams)))
            return
        if request["method"] == "SUBSCRIBE":
            self._subscribe(request["params"])
        else:
            for stream in request["params"]:
                self._streams.pop(stream, None)
                self.venue.unsubscribe(self, _native_symbol(stream) or "")
        self.send(control.binance_ack(number))

    def _subscribe(self, streams: Sequence[str]) -> None:
        self._streams |= dict.fromkeys(streams)
        if len(self._streams) > self.venue.limits.streams:
            self._disconnect("Too many streams")
            return
        for native_symbol in filter(None, map(_native_symbol, streams)):
            if self.venue.is_known(native_symbol):
                self.venue.subscribe(self, native_symbol)

    def _disconnect(self, reason: str) -> None:
        self._is_disconnected = True
        self.venue.run_in_background(self.close(_POLICY, reason))

    def announce_close(self) -> None:
        text = control.binance_shutdown(now_us())
        is_bare = self.form & _BARE
        self.send(text.removeprefix('{"event":').removesuffix("}") if is_bare else text)
        self.flush()

    async def _end_at_max_age(self) -> None:
        limits = self.venue.limits
        await asyncio.sleep(max(limits.age - limits.notice, 0))
        self.announce_close()
        await asyncio.sleep(min(limits.notice, limits.age))
        # In the background: the connection's handler, which owns this task, ends with the close.
        self.venue.run_in_background(self.close(_GOING_AWAY))


def _request_fault(request: Any) -> str | None:  # noqa: ANN401 - JSON may be anything
    if not isinstance(request, dict):
        return "request must be an object"
    if request.get("method") not in _METHODS:
        return f"unknown variant, expected one of {', '.join(_METHODS)}"
    if not isinstance(request.get("id"), int | str | None):
        return "request ID must be an unsigned integer or a string"
    if request["method"] == "LIST_SUBSCRIPTIONS":
        return None
    params = request.get("params")
    if not isinstance(params, list) or not all(isinstance(stream, str) for stream in params):
        return "params must be an array of strings"
    return None


def _native_symbol(stream: str) -> str | None:
    """Return the native symbol of a stream `btcusdt@trade`; None for any other stream."""
    name, _, kind = stream.partition("@")
    return name.upper() if kind == "trade" and name == name.lower() else None
