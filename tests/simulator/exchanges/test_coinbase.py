"""Coinbase as its clients see it."""

import asyncio
import json
from typing import Any

import pytest

from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import QUICK, Ear, heard, key, listen, names, told


def subscription(*products: str, kind: str = "subscribe") -> dict[str, Any]:
    return {"type": kind, "product_ids": list(products), "channel": "market_trades"}


HEARTBEATS = {"type": "subscribe", "channel": "heartbeats"}


def check_numbers(ear: Ear) -> None:
    """The numbered messages of a connection are counted without a hole."""
    found = [json.loads(text)["sequence_num"] for text in ear.texts if "sequence_num" in text]
    assert found == list(range(len(found)))
    assert found


def test_a_subscription_is_confirmed_with_a_snapshot() -> None:
    """First what is subscribed by now, then the last trades, numbered from 0."""

    async def subscribe() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "coinbase") as ear,
        ):
            await ear.say(subscription("BTC-USD"))
            confirmed, snapshot = await ear.next(), await ear.next()
            assert confirmed["channel"] == "subscriptions"
            assert confirmed["events"] == [{"subscriptions": {"market_trades": ["BTC-USD"]}}]
            assert snapshot["channel"] == "market_trades"
            assert snapshot["events"] == [{"type": "snapshot", "trades": []}]
            await ear.say(subscription("ETH-USD"))
            confirmed = await ear.next()
            both = {"market_trades": ["BTC-USD", "ETH-USD"]}
            assert confirmed["events"] == [{"subscriptions": both}]
            await ear.next()
            await ear.say(HEARTBEATS)
            everything = {**both, "heartbeats": ["heartbeats"]}
            assert (await ear.next())["events"] == [{"subscriptions": everything}]
            check_numbers(ear)
            assert set(decoding.kinds("coinbase", *ear.texts)) == {"control"}

    asyncio.run(subscribe())


def test_a_snapshot_shows_the_last_trades() -> None:
    """Newest first, also those no socket said."""

    async def come_late() -> None:
        plan = Plan(rate=20_000, trades=3_000, fault_rates=FaultRates(skip=0.5))
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as ear:
            await simulator.ended()
            await ear.subscribe("BTC-USD")
            (event,) = (await ear.next())["events"]
            trades = [
                one for one in simulator.journal if one.trade.market.native_symbol == "BTC-USD"
            ]
            ids = [int(row["trade_id"]) for row in event["trades"]]
            assert ids == [one.trade.trade_id for one in reversed(trades[-60:])]
            assert heard(ear).keys() == {key(one) for one in trades[-60:]}

    asyncio.run(come_late())


def test_messages_are_counted_on_each_connection() -> None:
    """Trades, heartbeats and confirmations share one count without holes."""

    async def listening() -> None:
        plan = Plan(rate=2_000, trades=1_000, starts_paused=True, limits=QUICK)
        async with (
            Simulator(plan) as simulator,
            listen(simulator, "coinbase") as one,
            listen(simulator, "coinbase") as other,
        ):
            await one.subscribe(*names(simulator, "coinbase"))
            await one.say(HEARTBEATS)
            await one.until(lambda text: "heartbeat_counter" in text)
            await other.subscribe("BTC-USD")
            simulator.begin()
            await simulator.ended()
            for ear in (one, other):
                await ear.catch_up()
                check_numbers(ear)
            assert heard(one) == told(simulator.journal, "coinbase")

    asyncio.run(listening())


def test_trades_are_gathered() -> None:
    """What comes at once stands in one message, newest first."""

    async def gather() -> None:
        plan = Plan(rate=20_000, trades=3_000, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as ear:
            await ear.subscribe("BTC-USD")
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            rows = [
                [int(row["trade_id"]) for row in json.loads(text)["events"][0]["trades"]]
                for text in ear.texts
                if '"type":"update"' in text
            ]
            assert max(map(len, rows)) > 10
            assert all(ids == sorted(ids, reverse=True) for ids in rows)

    asyncio.run(gather())


def test_heartbeats_are_counted() -> None:
    """The channel of heartbeats brings one after another."""

    async def wait() -> None:
        plan = Plan(starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as ear:
            await ear.say(HEARTBEATS)
            await ear.next()
            for number in range(3):
                beat = await ear.next()
                assert beat["channel"] == "heartbeats"
                assert int(beat["events"][0]["heartbeat_counter"]) == number
            check_numbers(ear)

    asyncio.run(wait())


def test_a_product_may_be_left() -> None:
    """After its end nothing more comes."""

    async def leave() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as ear:
            await ear.subscribe("BTC-USD", "ETH-USD")
            await ear.say(subscription("BTC-USD", kind="unsubscribe"))
            await ear.until(lambda text: '"market_trades":["ETH-USD"]' in text)
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            assert {name for name, *_ in heard(ear)} == {"ETH-USD"}

    asyncio.run(leave())


@pytest.mark.parametrize("product", ["FOO-USD", "ADA-USD"])
def test_a_request_with_a_refused_product_fails(product: str) -> None:
    """The error names the product; nothing of the request is subscribed."""

    async def ask() -> None:
        plan = Plan(starts_paused=True, fault_rates=FaultRates(refuse=("ADA-USD",)))
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as ear:
            await ear.say(subscription("BTC-USD", product))
            assert await ear.next() == {
                "type": "error",
                "message": "failure to subscribe",
                "reason": f"{product} is not a valid product",
            }
            assert not simulator.subscribed("coinbase")
            assert decoding.kinds("coinbase", *ear.texts) == ["control"]

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
def test_what_cannot_be_followed_gets_an_error(message: Any) -> None:
    """The connection goes on."""

    async def ask() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "coinbase") as ear,
        ):
            await ear.say(message)
            assert (await ear.next())["type"] == "error"
            await ear.catch_up()

    asyncio.run(ask())


def test_who_does_not_subscribe_is_disconnected() -> None:
    """A refused request is no subscription either."""

    async def idle() -> None:
        plan = Plan(starts_paused=True, limits=ExchangeLimits(patience=0.05))
        async with Simulator(plan) as simulator, listen(simulator, "coinbase") as ear:
            await ear.say(subscription("FOO-USD"))
            assert (await ear.closed())[0] == 1008

    asyncio.run(idle())
