"""Bitfinex's side of a websocket connection to its API v2.

Source: Bitfinex API documentation v2, "General", and WebSocket Public, "Trades".
"""

import json
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final

from websockets.asyncio.server import ServerConnection

from candlewax.simulator.exchanges.bitfinex_rest import trade_row
from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames.channels import Bundle, Feed

_INFO: Final = '{"event":"info","version":2,"serverId":"simulated","platform":{"status":1}}'
_SEQ_ALL: Final = 65536
_FIRST_CHANNEL: Final = 232_959
_RESTART: Final = 20051


def _write(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


class BitfinexFeed(Feed):
    """Channel `trades`, shared by all clients: the symbol stands where each has its channel."""

    exchange = "bitfinex"
    single = True
    history = 30

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002 - none is sent
        yield _INFO
        for channel, name in enumerate(names, _FIRST_CHANNEL):
            yield _subscribed(channel, name)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - the same
        return f'["{bundle[0].market.native_symbol}","te",{trade_row(bundle[0])}]'

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - the same
        rows = ",".join(map(trade_row, reversed(bundle)))
        return f'["{bundle[0].market.native_symbol}",[{rows}]]'


def _subscribed(channel: int, symbol: str) -> str:
    names = {"channel": "trades", "chanId": channel, "symbol": symbol, "pair": symbol[1:]}
    return _write({"event": "subscribed", **names})


_FEED: Final = BitfinexFeed()


class BitfinexSession(Client):
    """Connection of a client; it numbers the frames of its channels if asked to."""

    def __init__(self, venue: Venue, connection: ServerConnection, number: int) -> None:
        super().__init__(venue, connection, number)
        self._numbers = count(1)
        self._is_numbered = False
        # Channels differ between connections.
        self._next_channel = _FIRST_CHANNEL + 1000 * number
        self._channels: dict[str, int] = {}

    def send_greeting(self) -> None:
        self.send(_INFO)

    def announce_close(self) -> None:
        self.send(_write({"event": "info", "code": _RESTART, "msg": "Stopping. Please reconnect"}))

    def send_heartbeat(self) -> None:
        for channel in self._channels.values():
            self._send_numbered(f'[{channel},"hb"]')

    def send_trades(self, text: str) -> None:
        symbol = text[2:].partition('"')[0]
        channel = self._channels.get(symbol)
        if channel is None:
            self.send(text)
            return
        frame = text.replace(f'["{symbol}"', f"[{channel}", 1)
        self._send_numbered(frame)
        if ',"te",' in frame and frame.endswith("]]"):
            self._send_numbered(frame.replace('"te"', '"tu"', 1))

    def _send_numbered(self, frame: str) -> None:
        is_whole = frame.endswith("]")
        number = next(self._numbers)
        self.send(f"{frame[:-1]},{number}]" if self._is_numbered and is_whole else frame)

    def handle_message(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        event, symbol = request.get("event"), request.get("symbol")
        if event == "ping":
            self.send(_write({"event": "pong", "cid": request.get("cid"), "ts": now_us() // 1000}))
        elif event == "conf":
            flags = request.get("flags")
            self._is_numbered = isinstance(flags, int) and bool(flags & _SEQ_ALL)
            self.send(_write({"event": "conf", "status": "OK", "flags": flags}))
        elif event == "unsubscribe":
            self._unsubscribe(request.get("chanId"))
        elif event != "subscribe" or request.get("channel") != "trades":
            self._refuse(10000, "unknown event or channel", {})
        elif not isinstance(symbol, str) or not self.venue.is_known(symbol):
            self._refuse(10300, "symbol: invalid", {"channel": "trades", "symbol": symbol})
        elif symbol in self._channels:
            self._refuse(10301, "subscribe: dup", {"channel": "trades", "symbol": symbol})
        else:
            self._subscribe(symbol)

    def _subscribe(self, symbol: str) -> None:
        self._channels[symbol] = self._next_channel
        self._next_channel += 1
        self.send(_subscribed(self._channels[symbol], symbol))
        if history := self.venue.history(symbol):
            self.send_trades(_FEED.snapshot(history, now_us()))
        self.venue.subscribe(self, symbol)

    def _unsubscribe(self, channel: Any) -> None:  # noqa: ANN401 - JSON may be anything
        for symbol, own in list(self._channels.items()):
            if own == channel:
                del self._channels[symbol]
                self.venue.unsubscribe(self, symbol)
                self.send(_write({"event": "unsubscribed", "status": "OK", "chanId": channel}))

    def _refuse(self, code: int, message: str, names: dict[str, Any]) -> None:
        self.send(_write({"event": "error", "msg": message, "code": code, **names}))
