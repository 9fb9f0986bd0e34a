"""Kraken's side of a websocket connection to its API v2.

Source: Kraken API Center, "Spot Websockets (v2)", sections "Trade", "Heartbeat", "Ping" and
"Status".
"""

import json
from typing import Any

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.frames import control
from candlewax.simulator.frames.channels import KrakenV2

FEED = KrakenV2()


class KrakenSession(Client):
    """Connection of a client of Kraken's API v2."""

    _has_sent = False
    """True if a message was sent since the last heartbeat was due."""
    _has_subscribed = False

    def send_greeting(self) -> None:
        self.send(control.kraken_status(now_us()))

    def send(self, text: str) -> None:
        self._has_sent = True
        super().send(text)

    def send_heartbeat(self) -> None:
        if self._has_subscribed and not self._has_sent:
            self.send(control.KRAKEN_HEARTBEAT)
        self._has_sent = False

    def handle_message(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        req_id = request.get("req_id")
        req_id = req_id if isinstance(req_id, int) else None
        method, params = request.get("method"), request.get("params")
        if method == "ping":
            self.send(control.kraken_pong(now_us(), req_id))
        elif method in ("subscribe", "unsubscribe"):
            self._change_subscription(method, params if isinstance(params, dict) else {}, req_id)
        else:
            self._refuse("Malformed request", str(method or ""), req_id)

    def _change_subscription(self, method: str, params: dict[str, Any], req_id: int | None) -> None:
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
                    self.send(FEED.snapshot(self.venue.history(symbol), now_us()))

    def _subscribe(self, symbol: str, req_id: int | None) -> bool:
        if not self.venue.is_known(symbol):
            error = f"Currency pair not supported {symbol}"
        elif symbol in self.native_symbols:
            error = "Already subscribed"
        else:
            self._has_subscribed = True
            self.venue.subscribe(self, symbol)
            self.send(control.kraken_ack(symbol, now_us(), req_id))
            return True
        self._refuse(error, "subscribe", req_id, symbol)
        return False

    def _unsubscribe(self, symbol: str, req_id: int | None) -> None:
        if symbol in self.native_symbols:
            self.venue.unsubscribe(self, symbol)
            self.send(control.kraken_unsubscribed(symbol, now_us(), req_id))
        else:
            self._refuse("Subscription Not Found", "unsubscribe", req_id, symbol)

    def _refuse(
        self, error: str, method: str, req_id: int | None, symbol: str | None = None
    ) -> None:
        self.send(control.kraken_refusal(error, method, now_us(), req_id, symbol))
