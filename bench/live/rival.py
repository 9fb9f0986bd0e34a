"""cryptofeed on the simulator's Binance: `rival.py ADDRESS COUNT BASES BROKERS`.

Runs in an environment of its own. Its trades channel reads Binance's aggregate trades, and the
simulator plays single ones: they differ by two names. It accepts wss addresses only, which the
simulator does not have.
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
    """Callback that counts trades, and prints at the last one how long they took."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._received = 0
        self._began_at = self._began_cpu = 0.0

    async def __call__(self, _: object, __: float) -> None:
        if not self._received:
            self._began_at, self._began_cpu = time.monotonic(), time.process_time()
        self._received += 1
        if self._received == self._count:
            result = {
                "count": self._count,
                "seconds": round(time.monotonic() - self._began_at, 2),
                "cpu": round(time.process_time() - self._began_cpu, 2),
            }
            print(json.dumps(result), flush=True)


class Simulated(Binance):  # type: ignore[misc]  # cryptofeed has no types
    """Binance with single trades instead of aggregate ones."""

    websocket_channels = {**Binance.websocket_channels, TRADES: "trade"}  # noqa: RUF012

    async def _trade(self, msg: dict[str, Any], timestamp: float) -> None:
        msg["a"] = msg["t"]
        await super()._trade(msg, timestamp)

    async def message_handler(self, msg: str, conn: Any, timestamp: float) -> None:  # noqa: ANN401
        # Rename the event to the one that cryptofeed handles.
        await super().message_handler(
            msg.replace('"e":"trade"', '"e":"aggTrade"', 1), conn, timestamp
        )


def accept_plain_websockets() -> None:
    """Let cryptofeed connect to ws addresses, too."""
    # The constructor checks for wss; the address itself may be any.
    original_init = WSAsyncConn.__init__

    def open_any(self: Any, url: str, *rest: Any, **more: Any) -> None:  # noqa: ANN401
        original_init(self, "wss://" + url.partition("://")[2], *rest, **more)
        self.address = url

    WSAsyncConn.__init__ = open_any


def main(address: str, count: int, bases: list[str], servers: str) -> None:
    """Receive until stopped."""
    symbols = {f"{base}-USDT": f"{base}USDT" for base in bases}
    Symbols.set(Binance.id, symbols, {"instrument_type": dict.fromkeys(symbols, "spot")})
    accept_plain_websockets()
    Simulated.websocket_endpoints = [WebsocketEndpoint(address)]
    callback = TradeKafka(bootstrap_servers=servers) if servers else Counting(count)
    handler = FeedHandler(config={"uvloop": True, "log": {"disabled": True}})
    handler.add_feed(
        Simulated(symbols=list(symbols), channels=[TRADES], callbacks={TRADES: callback})
    )
    handler.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4])
