"""A client of the simulator, and what its trades must be."""

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


class Ear:
    """One connection, and all that came on it."""

    def __init__(self, connection: ClientConnection, exchange: str) -> None:
        self.connection = connection
        self.exchange = exchange
        self.texts: list[str] = []

    async def say(self, message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        await self.connection.send(text)

    async def next(self) -> Any:
        """The next message, as JSON."""
        return json.loads(await self.next_text())

    async def next_text(self) -> str:
        async with asyncio.timeout(PATIENCE):
            text = await self.connection.recv(decode=True)
        self.texts.append(text)
        return text

    async def until(self, found: Callable[[str], bool]) -> str:
        """The next message that is looked for."""
        while not found(text := await self.next_text()):
            pass
        return text

    async def subscribe(self, *names: str) -> None:
        """Subscribe to these markets, and wait until that is done."""
        if self.exchange.startswith("binance"):
            streams = [f"{name.lower()}@trade" for name in names]
            await self.say({"method": "SUBSCRIBE", "params": streams, "id": 1})
            await self.until(lambda text: '"result"' in text)
        elif self.exchange == "kraken":
            await self.say(
                {"method": "subscribe", "params": {"channel": "trade", "symbol": list(names)}}
            )
            for _ in names:
                await self.until(lambda text: '"type":"snapshot"' in text)
        else:
            await self.say(
                {"type": "subscribe", "product_ids": list(names), "channel": "market_trades"}
            )
            await self.until(lambda text: '"subscriptions"' in text)

    async def catch_up(self) -> None:
        """Ask something whose answer comes behind all that was sent before."""
        if self.exchange.startswith("binance"):
            await self.say({"method": "LIST_SUBSCRIPTIONS", "id": "now"})
            await self.until(lambda text: '"id":"now"' in text)
        elif self.exchange == "kraken":
            await self.say({"method": "ping", "req_id": 77})
            await self.until(lambda text: '"pong"' in text)
        else:
            channel = f"now {len(self.texts)}"
            await self.say({"type": "subscribe", "channel": channel})
            await self.until(lambda text: f"{channel} is not a valid channel" in text)

    async def closed(self) -> tuple[int | None, str | None]:
        """Code and reason of the close frame that ends the connection; None without."""
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


async def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again whether it is so by now."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)


@asynccontextmanager
async def listen(simulator: Simulator, exchange: str, url: str | None = None) -> AsyncIterator[Ear]:
    async with connect(url or simulator.url(exchange), max_queue=None, max_size=None) as connection:
        yield Ear(connection, exchange)


def names(simulator: Simulator, exchange: str) -> list[str]:
    """All markets of an exchange."""
    return list(simulator.venues[exchange].markets)


def heard(ear: Ear) -> Counter[Key]:
    """The trades that came, read as the program reads them; fails on dead letters."""
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    decoded = decoding.read(ear.exchange, *ear.texts, recv_ns=now_ns)
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


def told(published: Iterable[Published], exchange: str, unit_us: int = 1) -> Counter[Key]:
    """What a journal says was sent on an exchange's sockets, its times cut to a unit."""
    return Counter(
        key(one, unit_us)
        for one in published
        if one.trade.market.exchange == exchange and not one.skipped
    )


def key(one: Published, unit_us: int = 1) -> Key:
    """A trade of a journal."""
    trade = one.trade
    return (
        trade.market.native_symbol,
        str(trade.trade_id),
        trade.time_us // unit_us * unit_us,
        Decimal(trade.price).scaleb(-trade.market.price_decimals),
        Decimal(trade.quantity).scaleb(-trade.market.lot_decimals),
        trade.bought,
    )


def unit_us(exchange: str) -> int:
    """How exactly an exchange tells the time."""
    return 1000 if exchange.startswith("binance") else 1
