"""The simulated Bybit as its clients see it."""

import asyncio
import json
from typing import Any

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.markets import ListedMarket
from candlewax.exchanges.protocol.rest import RestErrorKind
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.decoding import read
from tests.support.simulator_clients import listen
from tests.support.simulator_rest import ask, ask_all

BOTH = ("bybit", "bybit_linear")


@pytest.mark.parametrize(("exchange", "text"), [("bybit", "subscribe"), ("bybit_linear", "")])
def test_answer_has_the_id_of_its_request(exchange: str, text: str) -> None:
    """A refusal names the topic, and refuses the message."""

    async def subscribe() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, exchange) as listener,
        ):
            await listener.send(EXCHANGES[exchange].live.subscribe(["BTCUSDT", "NOPEUSDT"], 1))
            refusal = await listener.next()
            assert refusal["success"] is False
            assert refusal["ret_msg"] == "Invalid symbol :[publicTrade.NOPEUSDT]"
            assert not simulator.subscribed(exchange)
            await listener.send(EXCHANGES[exchange].live.subscribe(["BTCUSDT"], 2))
            ack = await listener.next()
            assert (ack["success"], ack["ret_msg"], ack["req_id"]) == (True, text, "2")
            assert simulator.subscribed(exchange) == {"BTCUSDT"}
            await listener.send({"op": "unsubscribe", "args": ["publicTrade.BTCUSDT"]})
            assert (await listener.next())["op"] == "unsubscribe"
            assert not simulator.subscribed(exchange)

    asyncio.run(subscribe())


@pytest.mark.parametrize(
    "message",
    ["{", "[]", '{"op":"auth"}', '{"op":"subscribe","args":"x"}',
     json.dumps({"op": "subscribe", "args": ["publicTrade.BTCUSDT"] * 11})],
)  # fmt: skip
def test_invalid_request_is_refused(message: str) -> None:
    """More than ten topics too; a ping is answered then as before."""

    async def send() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "bybit") as listener,
        ):
            await listener.send(message)
            assert (await listener.next())["success"] is False
            await listener.send(EXCHANGES["bybit"].live.ping.message)  # type: ignore[union-attr]
            pong = await listener.next()
            assert (pong["ret_msg"], pong["op"]) == ("pong", "ping")

    asyncio.run(send())


@pytest.mark.parametrize("exchange", BOTH)
def test_rest_shows_the_newest_trades(exchange: str) -> None:
    """With the ids, times and sides of the websocket."""

    async def show() -> None:
        async with Simulator(Plan(rate=50_000, trades=6_000)) as simulator:
            await simulator.ended()
            played = [
                (simulator.venues[exchange].trade_id(trade), trade.bought)
                for trade, *_ in simulator.journal
                if trade.market.exchange == exchange
            ]
            rest = EXCHANGES[exchange].rest
            path = rest.latest_path("BTCUSDT", rest.latest_page_rows)
            content: Any = (await ask(simulator, f"/{exchange}{path}")).json
            found = read(exchange, json.dumps(content, default=str), connection="rest/BTCUSDT")
            assert found.dead_letters.is_empty()
            assert found.trades.select("trade_id", "side").rows() == [
                (trade_id, 1 if bought else 2)
                for trade_id, bought in played[-rest.latest_page_rows :]
            ]

    asyncio.run(show())


@pytest.mark.parametrize("exchange", BOTH)
def test_markets_are_listed_and_refusals_are_read(exchange: str) -> None:
    rules = EXCHANGES[exchange]
    assert rules.markets is not None
    paths = [*rules.markets.paths, rules.rest.latest_path("NOPEUSDT", 1)]
    plan = Plan(rate=50_000, trades=10)
    (listed, tickers, unknown), _ = ask_all(*(f"/{exchange}{path}" for path in paths), plan=plan)
    (market,) = rules.markets.parse([listed.json, tickers.json])
    assert isinstance(market, ListedMarket)
    assert market.symbol == ("BTC/USDT" if exchange == "bybit" else "BTC/USDT:USDT")
    assert market.turnover
    error = rules.rest.parse_error(unknown.status, unknown.json)
    assert error is not None
    assert error.kind is RestErrorKind.PERMANENT
    path = f"/{exchange}{rules.rest.latest_path('BTCUSDT', 1)}"
    limited = Plan(rate=50_000, trades=10, fault_rates=FaultRates(limit=1))
    (refused,), _ = ask_all(path, plan=limited)
    error = rules.rest.parse_error(refused.status, refused.json)
    assert error is not None
    assert error.kind is RestErrorKind.RATE_LIMITED
