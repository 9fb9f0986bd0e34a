"""cryptofeed on the simulator's Binance: `rival.py ADDRESS COUNT BASES BROKERS`.

Runs in an environment of its own. Its trades channel reads Binance's aggregate trades,
the simulator plays single ones: they differ by two names. It takes wss addresses only,
the simulator has none.
"""

import json
import sys
import time
from typing import Any

from cryptofeed import FeedHandler
from cryptofeed.backends.kafka import TradeKafka
from cryptofeed.connection import WebsocketEndpoint, WSAsyncConn
from cryptofeed.defines import TRADES
from cryptofeed.exchanges import Binance
from cryptofeed.symbols import Symbols


class Counting:
    """Counts trades; at the last one it prints how long they took."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._seen = 0
        self._began = self._used = 0.0

    async def __call__(self, _: object, __: float) -> None:
        if not self._seen:
            self._began, self._used = time.monotonic(), time.process_time()
        self._seen += 1
        if self._seen == self._count:
            found = {
                "count": self._count,
                "seconds": round(time.monotonic() - self._began, 2),
                "cpu": round(time.process_time() - self._used, 2),
            }
            print(json.dumps(found), flush=True)


class Simulated(Binance):  # type: ignore[misc]  # it has no types
    """Single trades instead of aggregate ones."""

    websocket_channels = {**Binance.websocket_channels, TRADES: "trade"}  # noqa: RUF012

    async def _trade(self, msg: dict[str, Any], timestamp: float) -> None:
        msg["a"] = msg["t"]
        await super()._trade(msg, timestamp)

    async def message_handler(self, msg: str, conn: Any, timestamp: float) -> None:  # noqa: ANN401
        # As if it had come under the name that is known there.
        await super().message_handler(
            msg.replace('"e":"trade"', '"e":"aggTrade"', 1), conn, timestamp
        )


def main(address: str, count: int, bases: list[str], servers: str) -> None:
    """Listen until stopped."""
    known = {f"{base}-USDT": f"{base}USDT" for base in bases}
    Symbols.set(Binance.id, known, {"instrument_type": dict.fromkeys(known, "spot")})
    # The check for wss stands in its constructor; the address itself may be any.
    opened = WSAsyncConn.__init__

    def open_any(self: Any, given: str, *rest: Any, **more: Any) -> None:  # noqa: ANN401
        opened(self, "wss://" + given.partition("://")[2], *rest, **more)
        self.address = given

    WSAsyncConn.__init__ = open_any
    Simulated.websocket_endpoints = [WebsocketEndpoint(address)]
    callback = TradeKafka(bootstrap_servers=servers) if servers else Counting(count)
    handler = FeedHandler(config={"uvloop": True, "log": {"disabled": True}})
    handler.add_feed(
        Simulated(symbols=list(known), channels=[TRADES], callbacks={TRADES: callback})
    )
    handler.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4])
