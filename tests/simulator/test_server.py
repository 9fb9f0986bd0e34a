"""The simulator as clients of every exchange see it."""

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
    Listener,
    listen,
    names,
    published_trades,
    received_trades,
    unit_us,
    wait_until,
)

each = pytest.mark.parametrize("exchange", EXCHANGES)


async def play(plan: Plan, exchange: str) -> tuple[Listener, Simulator]:
    """Subscribe to all markets of an exchange while a plan is played to its end."""
    async with Simulator(plan) as simulator, listen(simulator, exchange) as listener:
        await listener.subscribe(*names(simulator, exchange))
        simulator.begin()
        await simulator.ended()
        await listener.catch_up()
        return listener, simulator


@each
def test_client_receives_each_trade_of_the_journal_once(exchange: str) -> None:
    """Every field is as published, and there are no other trades."""
    plan = Plan(rate=20_000, trades=2_000, starts_paused=True)
    listener, simulator = asyncio.run(play(plan, exchange))
    assert len(simulator.journal) >= 2_000
    assert received_trades(listener) == published_trades(
        simulator.journal, exchange, unit_us(exchange)
    )
    assert received_trades(listener)


@each
def test_client_receives_each_trade_of_a_flood_once(exchange: str) -> None:
    """A flood is sent without pacing."""
    listener, simulator = asyncio.run(
        play(Plan(flood=True, trades=5_000, starts_paused=True), exchange)
    )
    assert received_trades(listener) == published_trades(
        simulator.journal, exchange, unit_us(exchange)
    )


def test_trade_happens_before_it_is_sent() -> None:
    """Times of a market never go back."""
    _, simulator = asyncio.run(play(Plan(rate=20_000, trades=500, starts_paused=True), "binance"))
    by_market: dict[str, int] = {}
    for trade, sent_ns, _ in simulator.journal:
        assert trade.time_us * 1000 <= sent_ns
        assert trade.time_us >= by_market.get(trade.market.symbol + trade.market.exchange, 0)
        by_market[trade.market.symbol + trade.market.exchange] = trade.time_us


def test_clients_of_an_exchange_receive_the_same_frames() -> None:
    """In the same order, for the markets they subscribed to."""

    async def both() -> None:
        plan = Plan(rate=20_000, trades=1_000, starts_paused=True)
        async with (
            Simulator(plan) as simulator,
            listen(simulator, "binance") as first,
            listen(simulator, "binance") as second,
        ):
            for listener in (first, second):
                await listener.subscribe("BTCUSDT", "ETHUSDT")
            assert simulator.subscribed("binance") == {"BTCUSDT", "ETHUSDT"}
            assert len(simulator.connections("binance")) == len(simulator.connections()) == 2
            simulator.begin()
            await simulator.ended()
            for listener in (first, second):
                await listener.catch_up()
            assert first.texts == second.texts
            assert {text[11:18] for text in first.texts if "stream" in text} == {
                "btcusdt",
                "ethusdt",
            }

    asyncio.run(both())


@each
def test_dropped_connection_ends_without_a_close_frame(exchange: str) -> None:
    """Connections of other exchanges stay, and a client can reconnect."""

    async def cut() -> None:
        other = next(name for name in EXCHANGES if name != exchange)
        plan = Plan(starts_paused=True)
        async with (
            Simulator(plan) as simulator,
            listen(simulator, exchange) as listener,
            listen(simulator, other) as spared,
        ):
            await listener.subscribe(names(simulator, exchange)[0])
            await simulator.drop(exchange)
            assert await listener.closed() == (None, None)
            await spared.subscribe(names(simulator, other)[0])
            async with listen(simulator, exchange) as again:
                await again.subscribe(names(simulator, exchange)[0])

    asyncio.run(cut())


@each
def test_closed_connection_gets_the_given_code_and_reason(exchange: str) -> None:
    async def close() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, exchange) as listener,
        ):
            await listener.subscribe(names(simulator, exchange)[0])
            simulator.close_with(exchange, 4321, "go away")
            assert await listener.closed() == (4321, "go away")

    asyncio.run(close())


@each
def test_stalled_exchange_sends_no_trades(exchange: str) -> None:
    """Its trades are marked as skipped in the journal; other exchanges send theirs."""

    async def stall() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, exchange) as listener:
            await listener.subscribe(*names(simulator, exchange))
            if exchange == "coinbase":
                await listener.send({"type": "subscribe", "channel": "heartbeats"})
            simulator.stall(exchange, 3600)
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            if exchange in ("kraken", "coinbase"):
                # Heartbeats continue.
                await listener.until(lambda text: '"heartbeat' in text)
            assert not received_trades(listener)
            for trade, _, skipped in simulator.journal:
                assert skipped == (trade.market.exchange == exchange)

    asyncio.run(stall())


@each
def test_frozen_exchange_sends_nothing_and_answers_nothing(exchange: str) -> None:
    """It answers requests once it thaws."""

    async def freeze() -> None:
        plan = Plan(rate=20_000, trades=200, starts_paused=True, limits=QUICK)
        async with Simulator(plan) as simulator, listen(simulator, exchange) as listener:
            await listener.subscribe(*names(simulator, exchange))
            simulator.stall(exchange, 3600, is_complete=True)
            before = list(listener.texts)
            answer = asyncio.create_task(listener.catch_up())
            simulator.begin()
            await simulator.ended()
            await asyncio.wait([answer], timeout=0.1)
            # Frames in flight may still arrive.
            assert not answer.done()
            assert not received_trades(listener)
            assert len(listener.texts) - len(before) <= 20
            simulator.venues[exchange].thaw()
            await answer
            assert not received_trades(listener)
            assert published_trades(simulator.journal, exchange) == {}

    asyncio.run(freeze())


def test_freeze_ends_after_its_time() -> None:
    """The exchange then answers the requests of the meantime."""

    async def freeze() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "kraken") as listener,
        ):
            await listener.subscribe("BTC/USD")
            simulator.stall("kraken", 0.05, is_complete=True)
            simulator.stall("kraken", 0.01, is_complete=True)
            await listener.catch_up()
            assert not simulator.venues["kraken"].is_frozen

    asyncio.run(freeze())


def test_client_that_does_not_read_is_dropped() -> None:
    """Once more unsent bytes wait than the limit."""

    async def lag() -> None:
        plan = Plan(rate=100_000, starts_paused=True, limits=ExchangeLimits(unsent=100_000))
        async with Simulator(plan) as simulator, listen(simulator, "binance") as listener:
            await listener.subscribe(*names(simulator, "binance"))
            listener.connection.transport.pause_reading()
            simulator.begin()
            await wait_until(lambda: not simulator.connections())
            listener.connection.transport.abort()

    asyncio.run(lag())


CONNECTION_FAULTS: dict[str, tuple[FaultRates, int | None]] = {
    "drop": (FaultRates(drop_every=0.01), None),
    "close": (FaultRates(close_every=0.01, close_code=4010), 4010),
}


@pytest.mark.parametrize("fault", CONNECTION_FAULTS)
@each
def test_connection_faults_occur_at_random_times(exchange: str, fault: str) -> None:
    """A connection is dropped, or closed with the planned code."""
    fault_rates, code = CONNECTION_FAULTS[fault]

    async def wait() -> None:
        plan = Plan(fault_rates=fault_rates)
        async with Simulator(plan) as simulator, listen(simulator, exchange) as listener:
            assert (await listener.closed())[0] == code

    asyncio.run(wait())


def test_stalls_and_freezes_occur_at_random_times() -> None:
    """Some trades are skipped because of them, others are sent."""

    async def wait() -> None:
        fault_rates = FaultRates(stall_every=0.01, freeze_every=0.01, stall_seconds=0.01)
        plan = Plan(rate=2_000, fault_rates=fault_rates)
        async with Simulator(plan) as simulator:
            await wait_until(lambda: 0 < simulator.published.skipped < len(simulator.journal))

    asyncio.run(wait())


def test_websocket_at_an_unknown_path_is_refused() -> None:
    """With a status of 404."""

    async def open_connection() -> None:
        async with Simulator(Plan(starts_paused=True)) as simulator:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{simulator.port}/bitmex")
            assert refused.value.response.status_code == 404

    asyncio.run(open_connection())


def test_client_gets_a_close_frame_when_the_simulator_ends() -> None:
    async def end() -> None:
        async with Simulator(Plan()) as simulator:
            connection = await connect(simulator.url("kraken"))
        listener = Listener(connection, "kraken")
        assert (await listener.closed())[0] == 1001

    asyncio.run(end())


def test_paused_simulator_publishes_no_trades() -> None:
    """Clients receive all trades from before the pause; trading then resumes."""

    async def pause() -> None:
        plan = Plan(rate=20_000, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "binance") as listener:
            await listener.subscribe(*names(simulator, "binance"))
            simulator.begin()
            await wait_until(lambda: len(simulator.journal) > 500)
            simulator.pause()
            published = -1
            async with asyncio.timeout(30):
                while published < len(simulator.journal):
                    published = len(simulator.journal)
                    await asyncio.sleep(10 * TICK)
            await listener.catch_up()
            assert received_trades(listener) == published_trades(
                simulator.journal, "binance", unit_us("binance")
            )
            simulator.begin()
            await wait_until(lambda: len(simulator.journal) > published)

    asyncio.run(pause())
