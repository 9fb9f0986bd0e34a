"""What Kraken says to the clients of its API v2.

Source: Kraken API Center, "Spot Websockets (v2)", sections "Trade", "Heartbeat",
"Ping" and "Status".
"""

import json
from typing import Any

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.frames import control
from candlewax.simulator.frames.channels import KrakenV2

FEED = KrakenV2()


class KrakenSession(Client):
    """A client of Kraken's API v2."""

    _said = False
    """Whether anything was said since the last heartbeat was due."""
    _subscribed = False

    def opening(self) -> None:
        self.say(control.kraken_status(now_us()))

    def say(self, text: str) -> None:
        self._said = True
        super().say(text)

    def beat(self) -> None:
        if self._subscribed and not self._said:
            self.say(control.KRAKEN_HEARTBEAT)
        self._said = False

    def hear(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        req_id = request.get("req_id")
        req_id = req_id if isinstance(req_id, int) else None
        method, params = request.get("method"), request.get("params")
        if method == "ping":
            self.say(control.kraken_pong(now_us(), req_id))
        elif method in ("subscribe", "unsubscribe"):
            self._follow(method, params if isinstance(params, dict) else {}, req_id)
        else:
            self._refuse("Malformed request", str(method or ""), req_id)

    def _follow(self, method: str, params: dict[str, Any], req_id: int | None) -> None:
        symbols = params.get("symbol")
        if params.get("channel") != "trade":
            self._refuse("Unsupported channel", method, req_id)
        elif not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
            self._refuse("Symbol(s) must be an array of strings", method, req_id)
        elif method == "unsubscribe":
            for symbol in symbols:
                self._unsubscribe(symbol, req_id)
        else:
            new = [symbol for symbol in symbols if self._subscribe(symbol, req_id)]
            if params.get("snapshot", True):
                for symbol in new:
                    self.say(FEED.snapshot(self.venue.history(symbol), now_us()))

    def _subscribe(self, symbol: str, req_id: int | None) -> bool:
        if not self.venue.knows(symbol):
            error = f"Currency pair not supported {symbol}"
        elif symbol in self.native:
            error = "Already subscribed"
        else:
            self._subscribed = True
            self.venue.subscribe(self, symbol)
            self.say(control.kraken_ack(symbol, now_us(), req_id))
            return True
        self._refuse(error, "subscribe", req_id, symbol)
        return False

    def _unsubscribe(self, symbol: str, req_id: int | None) -> None:
        if symbol in self.native:
            self.venue.unsubscribe(self, symbol)
            self.say(control.kraken_unsubscribed(symbol, now_us(), req_id))
        else:
            self._refuse("Subscription Not Found", "unsubscribe", req_id, symbol)

    def _refuse(
        self, error: str, method: str, req_id: int | None, symbol: str | None = None
    ) -> None:
        self.say(control.kraken_refusal(error, method, now_us(), req_id, symbol))
