"""cryptofeed on the simulator's exchanges; the arguments are their three addresses.

They are those of Binance, Kraken and Coinbase. It makes one-minute candles of all markets that
Candlewax subscribes to, and keeps only the newest ones in memory. At the end it prints the number
of trades.

Runs in an environment of its own. The simulator plays version 2 of Kraken's API, and asks for no
account on Coinbase: the two feeds differ by subscription, Kraken's also by its frames.
"""

import sys
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from cryptofeed import FeedHandler
from cryptofeed.connection import WebsocketEndpoint
from cryptofeed.defines import BUY, SELL, TRADES
from cryptofeed.exchanges import Coinbase, Kraken
from cryptofeed.symbols import Symbols
from cryptofeed.types import Trade
from yapic import json

from bench.live.rival import Simulated, accept_plain_websockets

INSTRUMENTS: Final = Path(__file__).parents[2] / "instruments.toml"


@dataclass(slots=True)
class Candle:
    """One-minute candle."""

    minute: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Candles:
    """Callback that keeps the newest candle of each market."""

    def __init__(self) -> None:
        self.count = 0
        self._newest: dict[tuple[str, str], Candle] = {}

    async def __call__(self, trade: Any, _: float) -> None:  # noqa: ANN401 - cryptofeed's Trade
        self.count += 1
        market, minute, price = (trade.exchange, trade.symbol), trade.timestamp // 60, trade.price
        candle = self._newest.get(market)
        if candle is None or candle.minute < minute:
            self._newest[market] = Candle(minute, price, price, price, price, trade.amount)
        elif candle.minute == minute:
            candle.high = max(candle.high, price)
            candle.low = min(candle.low, price)
            candle.close = price
            candle.volume += trade.amount


class KrakenV2(Kraken):  # type: ignore[misc]  # cryptofeed has no types
    """Trades of Kraken's API v2."""

    async def subscribe(self, conn: Any) -> None:  # noqa: ANN401
        for channel, symbols in conn.subscription.items():
            params = {"channel": channel, "symbol": symbols, "snapshot": False}
            await conn.write(json.dumps({"method": "subscribe", "params": params}))

    async def message_handler(self, msg: str, _: Any, timestamp: float) -> None:  # noqa: ANN401
        message = json.loads(msg, parse_float=Decimal)
        if message.get("channel") != "trade":
            return
        for row in message["data"]:
            trade = Trade(
                self.id,
                self.exchange_symbol_to_std_symbol(row["symbol"]),
                BUY if row["side"] == "buy" else SELL,
                row["qty"],
                row["price"],
                self.timestamp_normalize(row["timestamp"]),
                id=str(row["trade_id"]),
                raw=row,
            )
            await self.callback(TRADES, trade, timestamp)


class PublicCoinbase(Coinbase):  # type: ignore[misc]  # cryptofeed has no types
    """Coinbase's public trades, without an account."""

    async def subscribe(self, conn: Any) -> None:  # noqa: ANN401
        for channel, symbols in conn.subscription.items():
            request = {"type": "subscribe", "channel": channel, "product_ids": symbols}
            await conn.write(json.dumps(request))
        await conn.write(json.dumps({"type": "subscribe", "channel": "heartbeats"}))


def main(binance: str, kraken: str, coinbase: str) -> None:
    """Receive until stopped."""
    accept_plain_websockets()
    instruments = tomllib.loads(INSTRUMENTS.read_text())
    handler = FeedHandler(config={"uvloop": True, "log": {"disabled": True}})
    candles = Candles()
    for name, feed, url in (
        ("binance", Simulated, binance.removesuffix("/stream")),
        ("kraken", KrakenV2, kraken),
        ("coinbase", PublicCoinbase, coinbase),
    ):
        native_symbols = instruments[name]["subscribe"]
        symbols = {symbol.replace("/", "-"): native for native, symbol in native_symbols.items()}
        Symbols.set(feed.id, symbols, {"instrument_type": dict.fromkeys(symbols, "spot")})
        feed.websocket_endpoints = [WebsocketEndpoint(url)]
        handler.add_feed(
            feed(symbols=list(symbols), channels=[TRADES], callbacks={TRADES: candles})
        )
    print("started", flush=True)
    handler.run()
    print(json.dumps({"trades": candles.count}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
