"""Coinbase's side of a websocket connection to its Advanced Trade.

Source: Coinbase Developer Documentation, "Advanced Trade WebSocket", sections "WebSocket Overview",
"Market Trades Channel" and "Heartbeats Channel".
"""

import asyncio
import json
from collections.abc import Coroutine, Iterable
from itertools import count
from typing import Any, Final

from websockets.asyncio.server import ServerConnection

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames import control
from candlewax.simulator.frames import trades as frames
from candlewax.simulator.frames.channels import AdvancedTrade, Bundle

_UNNUMBERED: Final = '"sequence_num":0'
"""Placeholder in a text shared by all clients."""

_POLICY: Final = 1008
_FAILED: Final = "failure to subscribe"


class Unnumbered(AdvancedTrade):
    """Feed shared by all clients; each connection numbers its messages itself."""

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, 0)

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, 0, "snapshot")


FEED: Final = Unnumbered()


class CoinbaseSession(Client):
    """Connection of a client of Advanced Trade."""

    def __init__(self, venue: Venue, connection: ServerConnection, number: int) -> None:
        super().__init__(venue, connection, number)
        self._message_numbers = count()
        self._heartbeat_numbers = count()
        self._sends_heartbeats = False
        self._subscribed = asyncio.Event()

    def background_tasks(self) -> Iterable[Coroutine[None, None, None]]:
        return (self._disconnect_without_subscription(),)

    def send_trades(self, text: str) -> None:
        if _UNNUMBERED in text:
            number = next(self._message_numbers)
            text = text.replace(_UNNUMBERED, f'"sequence_num":{number}', 1)
        self.send(text)

    def send_heartbeat(self) -> None:
        if self._sends_heartbeats:
            self.send_trades(control.coinbase_heartbeat(now_us(), 0, next(self._heartbeat_numbers)))

    def handle_message(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        kind, channel = request.get("type"), request.get("channel")
        if kind not in ("subscribe", "unsubscribe"):
            self._refuse("invalid message", "type is none of subscribe, unsubscribe")
        elif channel == "heartbeats":
            self._subscribe_heartbeats(sends_heartbeats=kind == "subscribe")
        elif channel == "market_trades":
            self._subscribe_products(kind, request.get("product_ids"))
        else:
            self._refuse(_FAILED, f"{channel} is not a valid channel")

    def _subscribe_heartbeats(self, *, sends_heartbeats: bool) -> None:
        self._sends_heartbeats = sends_heartbeats
        self._subscribed.set()
        self._confirm()

    def _subscribe_products(self, kind: str, products: Any) -> None:  # noqa: ANN401 - JSON
        if not isinstance(products, list) or not all(isinstance(name, str) for name in products):
            self._refuse(_FAILED, "product_ids is not a list of products")
            return
        unknown = [name for name in products if not self.venue.is_known(name)]
        if unknown:
            # The whole request fails, also for its valid products.
            self._refuse(_FAILED, f"{unknown[0]} is not a valid product")
            return
        new = [name for name in dict.fromkeys(products) if name not in self.native_symbols]
        for name in products:
            if kind == "subscribe":
                self.venue.subscribe(self, name)
            else:
                self.venue.unsubscribe(self, name)
        self._subscribed.set()
        self._confirm()
        if kind == "subscribe":
            for name in new:
                self.send_trades(FEED.snapshot(self.venue.history(name), now_us()))

    def _confirm(self) -> None:
        products = sorted(self.native_symbols)
        self.send_trades(
            control.coinbase_subscriptions(
                products, now_us(), 0, has_heartbeats=self._sends_heartbeats
            )
        )

    def _refuse(self, message: str, reason: str) -> None:
        self.send(control.coinbase_error(message, reason))

    async def _disconnect_without_subscription(self) -> None:
        try:
            async with asyncio.timeout(self.venue.limits.patience):
                await self._subscribed.wait()
        except TimeoutError:
            self.venue.run_in_background(self.close(_POLICY, "no subscription"))
