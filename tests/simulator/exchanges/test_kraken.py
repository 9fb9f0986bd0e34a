"""The simulated Kraken as its clients see it."""

import asyncio
import json
from typing import Any

import pytest

from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import QUICK, key, listen, published_trades, received_trades


def subscription(*symbols: str, **more: Any) -> dict[str, Any]:
    params = {"channel": "trade", "symbol": list(symbols), "snapshot": True}
    return {"method": "subscribe", "params": params | more, "req_id": 1}


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without its times."""
    assert answer.keys() >= {"time_in", "time_out"}
    return {name: value for name, value in answer.items() if not name.startswith("time_")}


def test_first_frame_is_the_status() -> None:
    """It says that the exchange is online, before any request."""

    async def connect_() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as listener,
        ):
            status = await listener.next()
            assert status["channel"] == "status"
            assert status["data"][0]["system"] == "online"

    asyncio.run(connect_())


def test_each_symbol_is_acknowledged_or_refused_by_itself() -> None:
    """Each answer has the id of the request; snapshots follow the answers."""

    async def subscribe() -> None:
        plan = Plan(starts_paused=True, fault_rates=FaultRates(refuse=("ADA/USD",)))
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as listener:
            await listener.send(subscription("BTC/USD", "FOO/USD", "ADA/USD", "ETH/USD"))
            await listener.next()
            first, second, third, fourth = [without_times(await listener.next()) for _ in range(4)]
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
                assert await listener.next() == snapshot
            await listener.send(subscription("BTC/USD"))
            assert (await listener.next())["error"] == "Already subscribed"
            assert set(decoding.kinds("kraken", *listener.texts)) == {"control"}

    asyncio.run(subscribe())


def test_snapshot_holds_the_last_fifty_trades() -> None:
    """Of each market, oldest first, including trades skipped on the sockets."""

    async def come_late() -> None:
        plan = Plan(rate=20_000, trades=3_000, fault_rates=FaultRates(skip=0.5))
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as listener:
            await simulator.ended()
            await listener.subscribe("BTC/USD", "ETH/USD")
            for name in ("BTC/USD", "ETH/USD"):
                last = [
                    entry for entry in simulator.journal if entry.trade.market.native_symbol == name
                ][-50:]
                frame = next(t for t in listener.texts if '"snapshot","data"' in t and name in t)
                rows = json.loads(frame)["data"]
                assert [row["trade_id"] for row in rows] == [entry.trade.trade_id for entry in last]
            both = [entry for entry in simulator.journal if entry.trade.market.exchange == "kraken"]
            assert received_trades(listener).keys() <= {key(entry) for entry in both}
            assert sum(received_trades(listener).values()) == 100

    asyncio.run(come_late())


def test_declined_snapshot_is_not_sent() -> None:
    """Only updates follow the acknowledgements."""

    async def decline() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as listener:
            await listener.send(subscription("BTC/USD", snapshot=False))
            await listener.until(lambda text: '"success":true' in text)
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            assert not any('"type":"snapshot"' in text for text in listener.texts)
            expected = [
                entry
                for entry in simulator.journal
                if entry.trade.market.native_symbol == "BTC/USD"
            ]
            assert received_trades(listener) == published_trades(expected, "kraken")

    asyncio.run(decline())


def test_unsubscribed_market_sends_nothing() -> None:
    """A second unsubscription is refused."""

    async def leave() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as listener:
            await listener.subscribe("BTC/USD", "ETH/USD")
            params = {"channel": "trade", "symbol": ["ETH/USD", "ETH/USD"]}
            await listener.send({"method": "unsubscribe", "params": params, "req_id": 5})
            answer, refusal = (
                without_times(await listener.next()),
                without_times(await listener.next()),
            )
            assert answer["success"]
            assert answer["req_id"] == refusal["req_id"] == 5
            assert refusal["error"] == "Subscription Not Found"
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            assert {name for name, *_ in received_trades(listener)} == {"BTC/USD"}

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
def test_invalid_request_gets_an_error(message: Any) -> None:
    """The connection stays open, and the error is a control frame."""

    async def ask() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as listener,
        ):
            await listener.next()
            await listener.send(message)
            answer = without_times(await listener.next())
            assert answer["success"] is False
            assert answer["error"]
            await listener.catch_up()
            assert set(decoding.kinds("kraken", *listener.texts)) == {"control"}

    asyncio.run(ask())


def test_ping_is_answered_with_its_id() -> None:
    """A ping without an id gets a pong without one."""

    async def ping() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as listener,
        ):
            await listener.next()
            await listener.send({"method": "ping", "req_id": 42})
            assert without_times(await listener.next()) == {"method": "pong", "req_id": 42}
            await listener.send({"method": "ping"})
            assert without_times(await listener.next()) == {"method": "pong"}

    asyncio.run(ping())


def test_heartbeats_are_sent_on_a_silent_subscription() -> None:
    """Whenever nothing else has been sent since the last one."""

    async def wait() -> None:
        plan = Plan(starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, "kraken") as listener:
            await listener.subscribe("BTC/USD")
            for _ in range(3):
                assert await listener.next() == {"channel": "heartbeat"}

    asyncio.run(wait())


def test_no_heartbeat_is_sent_beside_other_frames_or_without_a_subscription() -> None:
    """A client gets none before it subscribes, nor while other frames are sent."""

    async def count() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as listener,
        ):
            await listener.next()
            venue = simulator.venues["kraken"]
            venue.send_heartbeats()
            venue.send_heartbeats()
            await listener.subscribe("BTC/USD")
            venue.send_heartbeats()
            await listener.catch_up()
            assert not any("heartbeat" in text for text in listener.texts)
            # The pong was sent since the last heartbeat, so only the second one is sent.
            venue.send_heartbeats()
            venue.send_heartbeats()
            await listener.catch_up()
            assert sum("heartbeat" in text for text in listener.texts) == 1

    asyncio.run(count())
