"""Kraken as its clients see it."""

import asyncio
import json
from typing import Any

import pytest

from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import QUICK, heard, key, listen, told


def subscription(*symbols: str, **more: Any) -> dict[str, Any]:
    params = {"channel": "trade", "symbol": list(symbols), "snapshot": True}
    return {"method": "subscribe", "params": params | more, "req_id": 1}


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without its times."""
    assert answer.keys() >= {"time_in", "time_out"}
    return {name: value for name, value in answer.items() if not name.startswith("time_")}


def test_the_status_comes_first() -> None:
    """A client hears that the exchange is online before it says anything."""

    async def come() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as ear,
        ):
            status = await ear.next()
            assert status["channel"] == "status"
            assert status["data"][0]["system"] == "online"

    asyncio.run(come())


def test_each_symbol_is_acknowledged_or_refused() -> None:
    """Acks and refusals come one by one with the number of the request, snapshots behind."""

    async def subscribe() -> None:
        plan = Plan(starts_paused=True, fault_rates=FaultRates(refuse=("ADA/USD",)))
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as ear:
            await ear.say(subscription("BTC/USD", "FOO/USD", "ADA/USD", "ETH/USD"))
            await ear.next()
            first, second, third, fourth = [plain(await ear.next()) for _ in range(4)]
            assert first == {
                "method": "subscribe",
                "req_id": 1,
                "result": {"channel": "trade", "snapshot": True, "symbol": "BTC/USD"},
                "success": True,
            }
            for refusal, symbol in ((second, "FOO/USD"), (third, "ADA/USD")):
                assert refusal == {
                    "error": f"Currency pair not supported {symbol}",
                    "method": "subscribe",
                    "req_id": 1,
                    "success": False,
                    "symbol": symbol,
                }
            assert fourth["result"]["symbol"] == "ETH/USD"
            for _ in range(2):
                snapshot = {"channel": "trade", "type": "snapshot", "data": []}
                assert await ear.next() == snapshot
            await ear.say(subscription("BTC/USD"))
            assert (await ear.next())["error"] == "Already subscribed"
            assert set(decoding.kinds("kraken", *ear.texts)) == {"control"}

    asyncio.run(subscribe())


def test_a_snapshot_shows_the_last_trades() -> None:
    """Fifty trades of each market, oldest first, also those no socket said."""

    async def come_late() -> None:
        plan = Plan(rate=20_000, trades=3_000, fault_rates=FaultRates(skip=0.5))
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as ear:
            await simulator.ended()
            await ear.subscribe("BTC/USD", "ETH/USD")
            for name in ("BTC/USD", "ETH/USD"):
                last = [one for one in simulator.journal if one.trade.market.native_symbol == name][
                    -50:
                ]
                frame = next(t for t in ear.texts if '"snapshot","data"' in t and name in t)
                rows = json.loads(frame)["data"]
                assert [row["trade_id"] for row in rows] == [one.trade.trade_id for one in last]
            both = [one for one in simulator.journal if one.trade.market.exchange == "kraken"]
            assert heard(ear).keys() <= {key(one) for one in both}
            assert sum(heard(ear).values()) == 100

    asyncio.run(come_late())


def test_a_snapshot_may_be_declined() -> None:
    """Behind the acks come updates only."""

    async def decline() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as ear:
            await ear.say(subscription("BTC/USD", snapshot=False))
            await ear.until(lambda text: '"success":true' in text)
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            assert not any('"type":"snapshot"' in text for text in ear.texts)
            wanted = [
                one for one in simulator.journal if one.trade.market.native_symbol == "BTC/USD"
            ]
            assert heard(ear) == told(wanted, "kraken")

    asyncio.run(decline())


def test_a_market_may_be_left() -> None:
    """After its end nothing more comes; ending it twice is refused."""

    async def leave() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as ear:
            await ear.subscribe("BTC/USD", "ETH/USD")
            params = {"channel": "trade", "symbol": ["ETH/USD", "ETH/USD"]}
            await ear.say({"method": "unsubscribe", "params": params, "req_id": 5})
            answer, refusal = plain(await ear.next()), plain(await ear.next())
            assert answer["success"]
            assert answer["req_id"] == refusal["req_id"] == 5
            assert refusal["error"] == "Subscription Not Found"
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            assert {name for name, *_ in heard(ear)} == {"BTC/USD"}

    asyncio.run(leave())


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "[]",
        "{}",
        {"method": "dance"},
        {"method": "subscribe"},
        {"method": "subscribe", "params": {"channel": "gossip", "symbol": ["BTC/USD"]}},
        {"method": "subscribe", "params": {"channel": "trade", "symbol": "BTC/USD"}},
    ],
)
def test_what_cannot_be_followed_gets_an_error(message: Any) -> None:
    """The answer says so, and the connection goes on."""

    async def ask() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as ear,
        ):
            await ear.next()
            await ear.say(message)
            answer = plain(await ear.next())
            assert answer["success"] is False
            assert answer["error"]
            await ear.catch_up()
            assert set(decoding.kinds("kraken", *ear.texts)) == {"control"}

    asyncio.run(ask())


def test_a_ping_is_answered() -> None:
    """The pong carries the number of the ping."""

    async def ping() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as ear,
        ):
            await ear.next()
            await ear.say({"method": "ping", "req_id": 42})
            assert plain(await ear.next()) == {"method": "pong", "req_id": 42}
            await ear.say({"method": "ping"})
            assert plain(await ear.next()) == {"method": "pong"}

    asyncio.run(ping())


def test_heartbeats_fill_the_silence() -> None:
    """After a subscription a heartbeat comes whenever nothing else was sent."""

    async def wait() -> None:
        plan = Plan(starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as ear:
            await ear.subscribe("BTC/USD")
            for _ in range(3):
                assert await ear.next() == {"channel": "heartbeat"}

    asyncio.run(wait())


def test_no_heartbeat_comes_where_something_was_said() -> None:
    """A client that has not subscribed hears none, nor one that hears trades."""

    async def count() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as ear,
        ):
            await ear.next()
            venue = simulator.venues["kraken"]
            venue.send_heartbeats()
            venue.send_heartbeats()
            await ear.subscribe("BTC/USD")
            venue.send_heartbeats()
            await ear.catch_up()
            assert not any("heartbeat" in text for text in ear.texts)
            # The pong came since the last beat, so that only the second one is heard.
            venue.send_heartbeats()
            venue.send_heartbeats()
            await ear.catch_up()
            assert sum("heartbeat" in text for text in ear.texts) == 1

    asyncio.run(count())
