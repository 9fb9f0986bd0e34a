"""The simulator as its clients see it, whatever the exchange."""

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.player import TICK
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import (
    EXCHANGES,
    QUICK,
    Ear,
    heard,
    listen,
    names,
    told,
    unit_us,
    wait_until,
)

each = pytest.mark.parametrize("exchange", EXCHANGES)


async def play(plan: Plan, exchange: str) -> tuple[Ear, Simulator]:
    """Listen to all markets of an exchange while a plan is played to its end."""
    async with Simulator(plan) as simulator, listen(simulator, exchange) as ear:
        await ear.subscribe(*names(simulator, exchange))
        simulator.begin()
        await simulator.ended()
        await ear.catch_up()
        return ear, simulator


@each
def test_a_client_hears_what_the_journal_says(exchange: str) -> None:
    """Every trade comes once, exactly as it was published, and nothing else does."""
    plan = Plan(rate=20_000, trades=2_000, starts_paused=True)
    ear, simulator = asyncio.run(play(plan, exchange))
    assert len(simulator.journal) >= 2_000
    assert heard(ear) == told(simulator.journal, exchange, unit_us(exchange))
    assert heard(ear)


@each
def test_a_flood_is_heard_completely(exchange: str) -> None:
    """What is sent without pacing comes completely, too."""
    ear, simulator = asyncio.run(play(Plan(flood=True, trades=5_000, starts_paused=True), exchange))
    assert heard(ear) == told(simulator.journal, exchange, unit_us(exchange))


def test_times_are_those_of_sending() -> None:
    """A trade happened before it was sent, and after the one before it."""
    _, simulator = asyncio.run(play(Plan(rate=20_000, trades=500, starts_paused=True), "binance"))
    by_market: dict[str, int] = {}
    for trade, sent_ns, _ in simulator.journal:
        assert trade.time_us * 1000 <= sent_ns
        assert trade.time_us >= by_market.get(trade.market.symbol + trade.market.exchange, 0)
        by_market[trade.market.symbol + trade.market.exchange] = trade.time_us


def test_all_clients_hear_the_same() -> None:
    """Two clients of an exchange hear the same trades in the same order."""

    async def both() -> None:
        plan = Plan(rate=20_000, trades=1_000, starts_paused=True)
        async with (
            Simulator(plan) as simulator,
            listen(simulator, "binance") as one,
            listen(simulator, "binance") as other,
        ):
            for ear in (one, other):
                await ear.subscribe("BTCUSDT", "ETHUSDT")
            assert simulator.subscribed("binance") == {"BTCUSDT", "ETHUSDT"}
            assert len(simulator.connections("binance")) == len(simulator.connections()) == 2
            simulator.begin()
            await simulator.ended()
            for ear in (one, other):
                await ear.catch_up()
            assert one.texts == other.texts
            assert {text[11:18] for text in one.texts if "stream" in text} == {"btcusdt", "ethusdt"}

    asyncio.run(both())


@each
def test_a_cut_connection_ends_without_a_close_frame(exchange: str) -> None:
    """All connections of the exchange are cut, those of others are not; one may come again."""

    async def cut() -> None:
        other = next(name for name in EXCHANGES if name != exchange)
        plan = Plan(starts_paused=True)
        async with (
            Simulator(plan) as simulator,
            listen(simulator, exchange) as ear,
            listen(simulator, other) as spared,
        ):
            await ear.subscribe(names(simulator, exchange)[0])
            await simulator.drop(exchange)
            assert await ear.closed() == (None, None)
            await spared.subscribe(names(simulator, other)[0])
            async with listen(simulator, exchange) as again:
                await again.subscribe(names(simulator, exchange)[0])

    asyncio.run(cut())


@each
def test_a_connection_is_closed_with_a_code(exchange: str) -> None:
    """The close frame says the code and the reason that were asked for."""

    async def close() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, exchange) as ear,
        ):
            await ear.subscribe(names(simulator, exchange)[0])
            simulator.close_with(exchange, 4321, "go away")
            assert await ear.closed() == (4321, "go away")

    asyncio.run(close())


@each
def test_a_stalled_exchange_says_no_trades(exchange: str) -> None:
    """Its trades are published as skipped, those of the others go on."""

    async def stall() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, exchange) as ear:
            await ear.subscribe(*names(simulator, exchange))
            if exchange == "coinbase":
                await ear.say({"type": "subscribe", "channel": "heartbeats"})
            simulator.stall(exchange, 3600)
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            if exchange in ("kraken", "coinbase"):
                # Signs of life go on.
                await ear.until(lambda text: '"heartbeat' in text)
            assert not heard(ear)
            for trade, _, skipped in simulator.journal:
                assert skipped == (trade.market.exchange == exchange)

    asyncio.run(stall())


@each
def test_a_frozen_exchange_is_silent_and_deaf(exchange: str) -> None:
    """Nothing comes, not even an answer, until it thaws."""

    async def freeze() -> None:
        plan = Plan(rate=20_000, trades=200, starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, exchange) as ear:
            await ear.subscribe(*names(simulator, exchange))
            simulator.stall(exchange, 3600, is_complete=True)
            before = list(ear.texts)
            answer = asyncio.create_task(ear.catch_up())
            simulator.begin()
            await simulator.ended()
            await asyncio.wait([answer], timeout=0.1)
            # What was under way may still come.
            assert not answer.done()
            assert not heard(ear)
            assert len(ear.texts) - len(before) <= 20
            simulator.venues[exchange].thaw()
            await answer
            assert not heard(ear)
            assert told(simulator.journal, exchange) == {}

    asyncio.run(freeze())


def test_a_freeze_ends_by_itself() -> None:
    """After its time the exchange answers what was asked meanwhile."""

    async def freeze() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as ear,
        ):
            await ear.subscribe("BTC/USD")
            simulator.stall("kraken", 0.05, is_complete=True)
            simulator.stall("kraken", 0.01, is_complete=True)
            await ear.catch_up()
            assert not simulator.venues["kraken"].is_frozen

    asyncio.run(freeze())


def test_a_slow_client_is_dropped() -> None:
    """Who does not take what is sent is cut when too much of it waits."""

    async def lag() -> None:
        plan = Plan(rate=100_000, starts_paused=True, limits=ExchangeLimits(unsent=100_000))
        async with Simulator(plan) as simulator, listen(simulator, "binance") as ear:
            await ear.subscribe(*names(simulator, "binance"))
            ear.connection.transport.pause_reading()
            simulator.begin()
            await wait_until(lambda: not simulator.connections())
            ear.connection.transport.abort()

    asyncio.run(lag())


TROUBLES: dict[str, tuple[FaultRates, int | None]] = {
    "drop": (FaultRates(drop_every=0.01), None),
    "close": (FaultRates(close_every=0.01, close_code=4010), 4010),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@each
def test_trouble_comes_by_itself(exchange: str, trouble: str) -> None:
    """Connections are dropped or closed at random times."""
    fault_rates, code = TROUBLES[trouble]

    async def wait() -> None:
        plan = Plan(fault_rates=fault_rates)
        async with Simulator(plan) as simulator, listen(simulator, exchange) as ear:
            assert (await ear.closed())[0] == code

    asyncio.run(wait())


def test_stalls_come_by_themselves() -> None:
    """Some trades are on no socket because of stalls and freezes at random times."""

    async def wait() -> None:
        fault_rates = FaultRates(stall_every=0.01, freeze_every=0.01, stall_seconds=0.01)
        plan = Plan(rate=2_000, fault_rates=fault_rates)
        async with Simulator(plan) as simulator:
            await wait_until(lambda: 0 < simulator.published.skipped < len(simulator.journal))

    asyncio.run(wait())


def test_elsewhere_is_nothing() -> None:
    """A websocket at an unknown address is refused with 404."""

    async def knock() -> None:
        async with Simulator(Plan(starts_paused=True)) as simulator:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{simulator.port}/bitmex")
            assert refused.value.response.status_code == 404

    asyncio.run(knock())


def test_the_end_is_said_properly() -> None:
    """When the simulator ends, its clients get a close frame."""

    async def end() -> None:
        async with Simulator(Plan()) as simulator:
            connection = await connect(simulator.url("kraken"))
        ear = Ear(connection, "kraken")
        assert (await ear.closed())[0] == 1001

    asyncio.run(end())


def test_no_trades_happen_in_a_pause() -> None:
    """All that was published before is heard; then it goes on."""

    async def pause() -> None:
        plan = Plan(rate=20_000, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "binance") as ear:
            await ear.subscribe(*names(simulator, "binance"))
            simulator.begin()
            await wait_until(lambda: len(simulator.journal) > 500)
            simulator.pause()
            published = -1
            async with asyncio.timeout(30):
                while published < len(simulator.journal):
                    published = len(simulator.journal)
                    await asyncio.sleep(10 * TICK)
            await ear.catch_up()
            assert heard(ear) == told(simulator.journal, "binance", unit_us("binance"))
            simulator.begin()
            await wait_until(lambda: len(simulator.journal) > published)

    asyncio.run(pause())
