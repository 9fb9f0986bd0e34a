"""The simulated Coinbase as its clients see it."""

import asyncio
import json
from typing import Any

import pytest

from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import (
    QUICK,
    Listener,
    key,
    listen,
    names,
    published_trades,
    received_trades,
)


def subscription(*products: str, kind: str = "subscribe") -> dict[str, Any]:
    return {"type": kind, "product_ids": list(products), "channel": "market_trades"}


HEARTBEATS = {"type": "subscribe", "channel": "heartbeats"}


def check_numbers(listener: Listener) -> None:
    """Assert that the numbered messages of a connection have consecutive numbers."""
    numbers = [
        json.loads(text)["sequence_num"] for text in listener.texts if "sequence_num" in text
    ]
    assert numbers == list(range(len(numbers)))
    assert numbers


def test_subscription_is_confirmed_and_followed_by_a_snapshot() -> None:
    """The confirmation lists all subscriptions; messages are numbered from 0."""

    async def subscribe() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "coinbase") as listener,
        ):
            await listener.send(subscription("BTC-USD"))
            confirmed, snapshot = await listener.next(), await listener.next()
            assert confirmed["channel"] == "subscriptions"
            assert confirmed["events"] == [{"subscriptions": {"market_trades": ["BTC-USD"]}}]
            assert snapshot["channel"] == "market_trades"
            assert snapshot["events"] == [{"type": "snapshot", "trades": []}]
            await listener.send(subscription("ETH-USD"))
            confirmed = await listener.next()
            both = {"market_trades": ["BTC-USD", "ETH-USD"]}
            assert confirmed["events"] == [{"subscriptions": both}]
            await listener.next()
            await listener.send(HEARTBEATS)
            everything = {**both, "heartbeats": ["heartbeats"]}
            assert (await listener.next())["events"] == [{"subscriptions": everything}]
            check_numbers(listener)
            assert set(decoding.kinds("coinbase", *listener.texts)) == {"control"}

    asyncio.run(subscribe())


def test_snapshot_holds_the_last_sixty_trades() -> None:
    """Newest first, including trades skipped on the sockets."""

    async def come_late() -> None:
        plan = Plan(rate=20_000, trades=3_000, fault_rates=FaultRates(skip=0.5))
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as listener:
            await simulator.ended()
            await listener.subscribe("BTC-USD")
            (event,) = (await listener.next())["events"]
            trades = [
                entry
                for entry in simulator.journal
                if entry.trade.market.native_symbol == "BTC-USD"
            ]
            ids = [int(row["trade_id"]) for row in event["trades"]]
            assert ids == [entry.trade.trade_id for entry in reversed(trades[-60:])]
            assert received_trades(listener).keys() == {key(entry) for entry in trades[-60:]}

    asyncio.run(come_late())


def test_each_connection_numbers_its_messages() -> None:
    """Trades, heartbeats and confirmations share one sequence without gaps."""

    async def receive() -> None:
        plan = Plan(rate=2_000, trades=1_000, starts_paused=True, limits=QUICK)
        async with (
            Simulator(plan) as simulator,
            listen(simulator, "coinbase") as first,
            listen(simulator, "coinbase") as second,
        ):
            await first.subscribe(*names(simulator, "coinbase"))
            await first.send(HEARTBEATS)
            await first.until(lambda text: "heartbeat_counter" in text)
            await second.subscribe("BTC-USD")
            simulator.begin()
            await simulator.ended()
            for listener in (first, second):
                await listener.catch_up()
                check_numbers(listener)
            assert received_trades(first) == published_trades(simulator.journal, "coinbase")

    asyncio.run(receive())


def test_trades_within_a_moment_share_a_message() -> None:
    """Newest first within the message."""

    async def gather() -> None:
        plan = Plan(rate=20_000, trades=3_000, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as listener:
            await listener.subscribe("BTC-USD")
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            rows = [
                [int(row["trade_id"]) for row in json.loads(text)["events"][0]["trades"]]
                for text in listener.texts
                if '"type":"update"' in text
            ]
            assert max(map(len, rows)) > 10
            assert all(ids == sorted(ids, reverse=True) for ids in rows)

    asyncio.run(gather())


def test_heartbeats_carry_a_counter() -> None:
    """The channel of heartbeats sends them one after another, counted from 0."""

    async def wait() -> None:
        plan = Plan(starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as listener:
            await listener.send(HEARTBEATS)
            await listener.next()
            for number in range(3):
                beat = await listener.next()
                assert beat["channel"] == "heartbeats"
                assert int(beat["events"][0]["heartbeat_counter"]) == number
            check_numbers(listener)

    asyncio.run(wait())


def test_unsubscribed_product_sends_nothing() -> None:
    async def leave() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as listener:
            await listener.subscribe("BTC-USD", "ETH-USD")
            await listener.send(subscription("BTC-USD", kind="unsubscribe"))
            await listener.until(lambda text: '"market_trades":["ETH-USD"]' in text)
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            assert {name for name, *_ in received_trades(listener)} == {"ETH-USD"}

    asyncio.run(leave())


@pytest.mark.parametrize("product", ["FOO-USD", "ADA-USD"])
def test_request_with_an_invalid_product_subscribes_to_nothing(product: str) -> None:
    """The error names the product, and the valid one is not subscribed either."""

    async def ask() -> None:
        plan = Plan(starts_paused=True, fault_rates=FaultRates(refuse=("ADA-USD",)))
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as listener:
            await listener.send(subscription("BTC-USD", product))
            assert await listener.next() == {
                "type": "error",
                "message": "failure to subscribe",
                "reason": f"{product} is not a valid product",
            }
            assert not simulator.subscribed("coinbase")
            assert decoding.kinds("coinbase", *listener.texts) == ["control"]

    asyncio.run(ask())


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "[]",
        "{}",
        {"type": "dance", "channel": "market_trades"},
        {"type": "subscribe", "channel": "gossip"},
        {"type": "subscribe", "channel": "market_trades"},
        {"type": "subscribe", "channel": "market_trades", "product_ids": [1]},
    ],
)
def test_invalid_request_gets_an_error(message: Any) -> None:
    """The connection stays open."""

    async def ask() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "coinbase") as listener,
        ):
            await listener.send(message)
            assert (await listener.next())["type"] == "error"
            await listener.catch_up()

    asyncio.run(ask())


def test_client_without_a_subscription_is_disconnected() -> None:
    """A refused request does not count as a subscription."""

    async def idle() -> None:
        plan = Plan(starts_paused=True, limits=ExchangeLimits(patience=0.05))
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as listener:
            await listener.send(subscription("FOO-USD"))
            assert (await listener.closed())[0] == 1008

    asyncio.run(idle())
