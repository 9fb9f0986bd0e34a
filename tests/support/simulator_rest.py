"""Requests to the REST of simulated exchanges, and their answers as rows."""

import asyncio
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator

HISTORY = {
    "binance": "/binance/api/v3/historicalTrades?symbol={}",
    "binance_usdm": "/binance_usdm/fapi/v1/historicalTrades?symbol={}",
    "kraken": "/kraken/0/public/Trades?pair={}",
    "coinbase": "/coinbase/products/{}/trades?",
}

BITCOIN = {
    "binance": "BTCUSDT",
    "binance_usdm": "BTCUSDT",
    "kraken": "BTC/USD",
    "coinbase": "BTC-USD",
}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PLAYED = Plan(rate=50_000, trades=6_000)


class Reply:
    """Status, headers and JSON of an answer."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers = status, headers
        self.text = body.decode()
        self.json: Any = json.loads(body, parse_float=Decimal)


def get(url: str, key: str = "any") -> Reply:
    headers = {"X-MBX-APIKEY": key} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


async def ask(simulator: Simulator, path: str, key: str = "any") -> Reply:
    return await asyncio.to_thread(get, f"http://127.0.0.1:{simulator.port}{path}", key)


def ask_all(*paths: str, plan: Plan = PLAYED) -> tuple[list[Reply], list[Published]]:
    """Play a plan, send the requests, and return the answers and the journal."""

    async def run() -> tuple[list[Reply], list[Published]]:
        async with Simulator(plan) as simulator:
            await simulator.ended()
            return [await ask(simulator, path) for path in paths], simulator.journal

    return asyncio.run(run())


def row(exchange: str, trade: dict[str, Any] | list[Any]) -> tuple[Any, ...]:
    """A row of an answer as a key; Binance's times are in milliseconds."""
    native = BITCOIN[exchange]
    if isinstance(trade, list):
        price, volume, time, side, _, _, number = trade
        return native, str(number), int(time * 10**6), Decimal(price), Decimal(volume), side == "b"
    if exchange == "coinbase":
        time = (datetime.fromisoformat(trade["time"]) - EPOCH) // timedelta(microseconds=1)
        amounts = Decimal(trade["price"]), Decimal(trade["size"])
        return native, str(trade["trade_id"]), time, *amounts, trade["side"] == "sell"
    amounts = Decimal(trade["price"]), Decimal(trade["qty"])
    return native, str(trade["id"]), trade["time"] * 1000, *amounts, not trade["isBuyerMaker"]


def rows(exchange: str, reply: Reply) -> list[Any]:
    """The rows of an answer, oldest first."""
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    if exchange == "kraken":
        assert reply.json["error"] == []
        (trades,) = [value for name, value in reply.json["result"].items() if name != "last"]
        return list(trades)
    return list(reversed(reply.json)) if exchange == "coinbase" else list(reply.json)
