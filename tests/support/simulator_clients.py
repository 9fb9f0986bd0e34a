"""A client of the simulator, and the trades that it must receive."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from candlewax.exchanges.protocol.dialect import SELL
from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import ExchangeLimits
from candlewax.simulator.server import Simulator
from tests.support import decoding

PATIENCE = 60
"""Seconds after which a test gives up."""

EXCHANGES = ("binance", "binance_usdm", "kraken", "coinbase")

QUICK = ExchangeLimits(heartbeat_s=0.01)

Key = tuple[str, str, int, Decimal, Decimal, bool]
"""Native symbol, trade id, microseconds, price, quantity, whether the taker bought."""


class Listener:
    """A connection, and all texts received on it."""

    def __init__(self, connection: ClientConnection, exchange: str) -> None:
        self.connection = connection
        self.exchange = exchange
        self.texts: list[str] = []

    async def send(self, message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        await self.connection.send(text)

    async def next(self) -> Any:
        """Return the next message, parsed as JSON."""
        return json.loads(await self.next_text())

    async def next_text(self) -> str:
        async with asyncio.timeout(PATIENCE):
            text = await self.connection.recv(decode=True)
        self.texts.append(text)
        return text

    async def until(self, matches: Callable[[str], bool]) -> str:
        """Return the next message that matches."""
        while not matches(text := await self.next_text()):
            pass
        return text

    async def subscribe(self, *names: str) -> None:
        """Subscribe to these markets and wait for the answers."""
        if self.exchange.startswith("binance"):
            streams = [f"{name.lower()}@trade" for name in names]
            await self.send({"method": "SUBSCRIBE", "params": streams, "id": 1})
            await self.until(lambda text: '"result"' in text)
        elif self.exchange == "kraken":
            await self.send(
                {"method": "subscribe", "params": {"channel": "trade", "symbol": list(names)}}
            )
            for _ in names:
                await self.until(lambda text: '"type":"snapshot"' in text)
        else:
            await self.send(
                {"type": "subscribe", "product_ids": list(names), "channel": "market_trades"}
            )
            await self.until(lambda text: '"subscriptions"' in text)

    async def catch_up(self) -> None:
        """Send a request whose answer follows all that was sent before, and wait for it."""
        if self.exchange.startswith("binance"):
            await self.send({"method": "LIST_SUBSCRIPTIONS", "id": "now"})
            await self.until(lambda text: '"id":"now"' in text)
        elif self.exchange == "kraken":
            await self.send({"method": "ping", "req_id": 77})
            await self.until(lambda text: '"pong"' in text)
        else:
            channel = f"now {len(self.texts)}"
            await self.send({"type": "subscribe", "channel": channel})
            await self.until(lambda text: f"{channel} is not a valid channel" in text)

    async def closed(self) -> tuple[int | None, str | None]:
        """Return code and reason of the close frame that ends the connection, or None twice."""
        async with asyncio.timeout(PATIENCE):
            async for text in _until_closed(self.connection):
                self.texts.append(text)
        frame = self.connection.protocol.close_rcvd
        return (frame.code, frame.reason) if frame else (None, None)


async def _until_closed(connection: ClientConnection) -> AsyncIterator[str]:
    try:
        while True:
            yield await connection.recv(decode=True)
    except ConnectionClosed:
        return


async def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@asynccontextmanager
async def listen(
    simulator: Simulator, exchange: str, url: str | None = None
) -> AsyncIterator[Listener]:
    async with connect(url or simulator.url(exchange), max_queue=None, max_size=None) as connection:
        yield Listener(connection, exchange)


def names(simulator: Simulator, exchange: str) -> list[str]:
    """All markets of an exchange."""
    return list(simulator.venues[exchange].markets)


def received_trades(listener: Listener) -> Counter[Key]:
    """Decode the received trades as the program does, and fail on a dead letter."""
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    decoded = decoding.read(listener.exchange, *listener.texts, recv_ns=now_ns)
    assert decoded.dead_letters.is_empty(), decoded.dead_letters.rows(named=True)[:3]
    return Counter(
        (
            row["native_symbol"],
            row["trade_id"],
            _microseconds(row["timestamp"]),
            row["price"],
            row["quantity"],
            row["side"] != SELL,
        )
        for row in decoded.trades.rows(named=True)
    )


def _microseconds(time: datetime) -> int:
    return (time.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def published_trades(
    published: Iterable[Published], exchange: str, unit_us: int = 1
) -> Counter[Key]:
    """Return a journal's trades sent on an exchange's sockets, times truncated to a unit."""
    return Counter(
        key(entry, unit_us)
        for entry in published
        if entry.trade.market.exchange == exchange and not entry.skipped
    )


def key(entry: Published, unit_us: int = 1) -> Key:
    """Return the key of a journal's trade."""
    trade = entry.trade
    return (
        trade.market.native_symbol,
        str(trade.trade_id),
        trade.time_us // unit_us * unit_us,
        Decimal(trade.price).scaleb(-trade.market.price_decimals),
        Decimal(trade.quantity).scaleb(-trade.market.lot_decimals),
        trade.bought,
    )


def unit_us(exchange: str) -> int:
    """Return the precision of an exchange's times."""
    return 1000 if exchange.startswith("binance") else 1
