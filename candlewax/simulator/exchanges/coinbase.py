"""What Coinbase says to the clients of its Advanced Trade.

Source: Coinbase Developer Documentation, "Advanced Trade WebSocket", sections
"WebSocket Overview", "Market Trades Channel" and "Heartbeats Channel".
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
"""In a text that is the same for all clients."""

_POLICY: Final = 1008
_FAILED: Final = "failure to subscribe"


class Unnumbered(AdvancedTrade):
    """The feed as all clients share it: each one's messages are numbered later."""

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, 0)

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, 0, "snapshot")


FEED: Final = Unnumbered()


class CoinbaseSession(Client):
    """A client of Advanced Trade."""

    def __init__(self, venue: Venue, connection: ServerConnection, number: int) -> None:
        super().__init__(venue, connection, number)
        self._messages = count()
        self._beats = count()
        self._beating = False
        self._subscribed = asyncio.Event()

    def duties(self) -> Iterable[Coroutine[None, None, None]]:
        return (self._lose_patience(),)

    def tell(self, text: str) -> None:
        if _UNNUMBERED in text:
            number = next(self._messages)
            text = text.replace(_UNNUMBERED, f'"sequence_num":{number}', 1)
        self.say(text)

    def beat(self) -> None:
        if self._beating:
            self.tell(control.coinbase_heartbeat(now_us(), 0, next(self._beats)))

    def hear(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        kind, channel = request.get("type"), request.get("channel")
        if kind not in ("subscribe", "unsubscribe"):
            self._refuse("invalid message", "type is none of subscribe, unsubscribe")
        elif channel == "heartbeats":
            self._follow(beating=kind == "subscribe")
        elif channel == "market_trades":
            self._follow_products(kind, request.get("product_ids"))
        else:
            self._refuse(_FAILED, f"{channel} is not a valid channel")

    def _follow(self, *, beating: bool) -> None:
        self._beating = beating
        self._subscribed.set()
        self._confirm()

    def _follow_products(self, kind: str, products: Any) -> None:  # noqa: ANN401 - JSON
        if not isinstance(products, list) or not all(isinstance(name, str) for name in products):
            self._refuse(_FAILED, "product_ids is not a list of products")
            return
        unknown = [name for name in products if not self.venue.knows(name)]
        if unknown:
            # The whole request fails, also for products that are known.
            self._refuse(_FAILED, f"{unknown[0]} is not a valid product")
            return
        new = [name for name in dict.fromkeys(products) if name not in self.native]
        for name in products:
            if kind == "subscribe":
                self.venue.subscribe(self, name)
            else:
                self.venue.unsubscribe(self, name)
        self._subscribed.set()
        self._confirm()
        if kind == "subscribe":
            for name in new:
                self.tell(FEED.snapshot(self.venue.history(name), now_us()))

    def _confirm(self) -> None:
        products = sorted(self.native)
        self.tell(control.coinbase_subscriptions(products, now_us(), 0, beats=self._beating))

    def _refuse(self, message: str, reason: str) -> None:
        self.say(control.coinbase_error(message, reason))

    async def _lose_patience(self) -> None:
        try:
            async with asyncio.timeout(self.venue.manners.patience):
                await self._subscribed.wait()
        except TimeoutError:
            self.venue.later(self.close(_POLICY, "no subscription"))
