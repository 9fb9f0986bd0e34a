"""Side of Kraken Futures of a websocket connection to its API v1.

Source: Kraken API Center, Futures WebSocket, "Trade" and "Heartbeat".
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.frames.channels import Bundle, Feed
from candlewax.simulator.frames.trades import price, quantity
from candlewax.simulator.market.market import Trade

_INFO: Final = '{"event":"info","version":1}'


def _subscribed(product: str) -> str:
    return _write({"event": "subscribed", "feed": "trade", "product_ids": [product]})


def _write(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


class KrakenFuturesFeed(Feed):
    """Feed `trade`, and the snapshot of the last 100 trades, newest first."""

    exchange = "kraken_futures"
    single = True
    history = 100

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002 - none is sent
        yield _INFO
        yield from map(_subscribed, names)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - no send time
        trade = bundle[0]
        return (
            f'{{"feed":"trade","product_id":"{trade.market.native_symbol}",'
            f'"uid":"{self.trade_id(trade)}","side":"{_side(trade)}","type":"fill",'
            f'"seq":{trade.trade_id},"time":{trade.time_us // 1000},"qty":{quantity(trade)},'
            f'"price":{price(trade)}}}'
        )

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - the same
        product = bundle[0].market.native_symbol if bundle else ""
        rows = ",".join(
            f'{{"product_id":"{product}","feed":"trade","uid":"{self.trade_id(trade)}",'
            f'"side":"{_side(trade)}","type":"fill","time":{trade.time_us // 1000},'
            f'"qty":{quantity(trade)},"price":{price(trade)},"seq":{trade.trade_id}}}'
            for trade in reversed(bundle)
        )
        return f'{{"feed":"trade_snapshot","product_id":"{product}","trades":[{rows}]}}'

    def trade_id(self, trade: Trade) -> str:
        """Return a UUID: numbers start again, orders do not."""
        first_id = trade.market.first_id
        return (
            f"{trade.order:08x}-{first_id >> 12 & 0xFFFF:04x}-4{first_id & 0xFFF:03x}-8000-"
            f"{trade.trade_id:012x}"
        )


def _side(trade: Trade) -> str:
    return "buy" if trade.bought else "sell"


_FEED: Final = KrakenFuturesFeed()


class KrakenFuturesSession(Client):
    """Connection of a client of Kraken Futures."""

    _sends_heartbeats = False

    def send_greeting(self) -> None:
        self.send(_INFO)

    def send_heartbeat(self) -> None:
        if self._sends_heartbeats:
            self.send(_write({"feed": "heartbeat", "time": now_us() // 1000}))

    def handle_message(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        event, feed, names = (request.get(name) for name in ("event", "feed", "product_ids"))
        if event not in ("subscribe", "unsubscribe"):
            self._refuse("Json Error")
        elif feed == "heartbeat":
            self._sends_heartbeats = event == "subscribe"
            self.send(_write({"event": f"{event}d", "feed": feed}))
        elif feed != "trade":
            self._refuse("Invalid feed")
        else:
            for name in names if isinstance(names, list) else [None]:
                self._change_subscription(event, name)

    def _change_subscription(self, event: str, product: Any) -> None:  # noqa: ANN401 - JSON
        if not isinstance(product, str) or not self.venue.is_known(product):
            self._refuse("Invalid product id")
        elif event == "unsubscribe":
            self.venue.unsubscribe(self, product)
            self.send(_write({"event": "unsubscribed", "feed": "trade", "product_ids": [product]}))
        else:
            self.venue.subscribe(self, product)
            self.send(_subscribed(product))
            if history := self.venue.history(product):
                self.send(_FEED.snapshot(history, now_us()))

    def _refuse(self, message: str) -> None:
        self.send(_write({"event": "error", "message": message}))
