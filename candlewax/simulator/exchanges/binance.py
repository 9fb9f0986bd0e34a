"""What Binance says to its clients, spot and USD-M futures alike.

Source: Binance Spot API documentation, "WebSocket Streams", sections "General WSS
information" and "Live Subscribing/Unsubscribing to streams".
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
"""Bits of a form: without the envelope, with times in microseconds."""

_POLICY: Final = 1008
_GOING_AWAY: Final = 1001

_CODE_REQUEST, _CODE_JSON = 2, 3
_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS")


class _Bare(Feed):
    """A feed without the envelope of a combined stream."""

    single = True

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def opening(self, names: Sequence[str], time_us: int) -> Iterable[str]:  # type: ignore[override]
        return self._feed.opening(names, time_us)

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        text = self._feed.trades(bundle, sent_us)
        return text[text.index('"data":') + len('"data":') : -1]


def feeds(kind: type[BinanceSpot] | type[BinanceUsdm]) -> list[Feed]:
    """What is said to the clients of each form."""
    milliseconds, microseconds = kind(), kind(unit_us=1)
    return [milliseconds, _Bare(milliseconds), microseconds, _Bare(microseconds)]


class BinanceSession(Client):
    """A client of Binance. It may name streams that nobody knows: they stay silent."""

    _disconnected = False

    def __init__(self, venue: Venue, connection: ServerConnection, number: int) -> None:
        super().__init__(venue, connection, number)
        self._times: deque[float] = deque(maxlen=venue.manners.messages)
        self._streams: dict[str, None] = {}
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        bare = parts.path.split("/")[2:3] == ["ws"]
        microseconds = query.get("timeUnit", [""])[0].upper() == "MICROSECOND"
        self.form = (_BARE if bare else 0) | (_MICROSECONDS if microseconds else 0)
        named = query.get("streams", [""])[0].split("/") if not bare else parts.path.split("/")[3:]
        self._named = [stream for stream in named if stream]

    def opening(self) -> None:
        self._subscribe(self._named)

    def duties(self) -> Iterable[Coroutine[None, None, None]]:
        manners = self.venue.manners
        return self.ping(manners.ping_every, manners.pong_within), self._grow_old()

    def hear(self, message: str) -> None:
        if self._disconnected:
            return
        now = asyncio.get_running_loop().time()
        often = len(self._times) == self._times.maxlen and now - self._times[0] < 1
        self._times.append(now)
        if often:
            self._disconnect("Too many requests")
            return
        try:
            request = json.loads(message)
        except ValueError as error:
            self.say(control.binance_error(_CODE_JSON, f"Invalid JSON: {error}", None))
            return
        self._follow(request)

    def _follow(self, request: Any) -> None:  # noqa: ANN401 - JSON may be anything
        number = request.get("id") if isinstance(request, dict) else None
        fault = _fault(request)
        if fault:
            self.say(control.binance_error(_CODE_REQUEST, f"Invalid request: {fault}", number))
            return
        if request["method"] == "LIST_SUBSCRIPTIONS":
            self.say(control.binance_ack(number, list(self._streams)))
            return
        if request["method"] == "SUBSCRIBE":
            self._subscribe(request["params"])
        else:
            for stream in request["params"]:
                self._streams.pop(stream, None)
                self.venue.unsubscribe(self, _native(stream) or "")
        self.say(control.binance_ack(number))

    def _subscribe(self, streams: Sequence[str]) -> None:
        self._streams |= dict.fromkeys(streams)
        if len(self._streams) > self.venue.manners.streams:
            self._disconnect("Too many streams")
            return
        for native in filter(None, map(_native, streams)):
            if self.venue.knows(native):
                self.venue.subscribe(self, native)

    def _disconnect(self, reason: str) -> None:
        self._disconnected = True
        self.venue.later(self.close(_POLICY, reason))

    def farewell(self) -> None:
        text = control.binance_shutdown(now_us())
        bare = self.form & _BARE
        self.say(text.removeprefix('{"event":').removesuffix("}") if bare else text)
        self.flush()

    async def _grow_old(self) -> None:
        manners = self.venue.manners
        await asyncio.sleep(max(manners.age - manners.notice, 0))
        self.farewell()
        await asyncio.sleep(min(manners.notice, manners.age))
        # The handler of this connection ends with it, and this with the handler.
        self.venue.later(self.close(_GOING_AWAY))


def _fault(request: Any) -> str | None:  # noqa: ANN401 - JSON may be anything
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


def _native(stream: str) -> str | None:
    """`btcusdt@trade` is BTCUSDT; names are lowercase, other streams are not played."""
    name, _, kind = stream.partition("@")
    return name.upper() if kind == "trade" and name == name.lower() else None
