"""Faults of single frames, and how the journal records them."""

import asyncio
from collections import Counter

import pytest

from candlewax.simulator.frame_faults import FaultPicker
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import Trade
from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import (
    EXCHANGES,
    Listener,
    listen,
    names,
    published_trades,
    received_trades,
    unit_us,
)

each = pytest.mark.parametrize("exchange", EXCHANGES)


async def play(
    exchange: str, fault_rates: FaultRates, trades: int = 1_500
) -> tuple[Listener, Simulator]:
    # Without gathering, the frames do not depend on how fast the test runs.
    limits = ExchangeLimits(gather=0)
    plan = Plan(
        rate=20_000, trades=trades, starts_paused=True, fault_rates=fault_rates, limits=limits
    )
    async with Simulator(plan) as simulator, listen(simulator, exchange) as listener:
        await listener.subscribe(*names(simulator, exchange))
        simulator.begin()
        await simulator.ended()
        await listener.catch_up()
        return listener, simulator


def ids(listener: Listener) -> list[tuple[str, int]]:
    """Return market and id of each trade in the order received."""
    decoded = decoding.read(listener.exchange, *listener.texts)
    return [(row["native_symbol"], int(row["trade_id"])) for row in decoded.trades.rows(named=True)]


@each
def test_skipped_trades_are_not_sent(exchange: str) -> None:
    """They are published, and marked in the journal."""
    listener, simulator = asyncio.run(play(exchange, FaultRates(skip=0.2)))
    assert received_trades(listener) == published_trades(
        simulator.journal, exchange, unit_us(exchange)
    )
    skipped = sum(entry.skipped for entry in simulator.journal)
    assert 0.1 < skipped / len(simulator.journal) < 0.3
    assert simulator.published.skipped == skipped


@each
def test_repeated_frames_are_sent_twice(exchange: str) -> None:
    """Some trades arrive twice, and none is missing."""
    listener, simulator = asyncio.run(play(exchange, FaultRates(repeat=0.3)))
    once = published_trades(simulator.journal, exchange, unit_us(exchange))
    assert received_trades(listener).keys() == once.keys()
    assert set(received_trades(listener).values()) == {1, 2}


@each
def test_swapped_frames_arrive_out_of_order(exchange: str) -> None:
    """Ids of a market go back at times; every trade arrives once."""
    listener, simulator = asyncio.run(play(exchange, FaultRates(swap=0.3)))
    assert received_trades(listener) == published_trades(
        simulator.journal, exchange, unit_us(exchange)
    )
    last: dict[str, int] = {}
    backward_count = 0
    for name, number in ids(listener):
        backward_count += number < last.get(name, 0)
        last[name] = number
    assert backward_count


@each
def test_swapped_frame_is_sent_even_if_no_other_follows(exchange: str) -> None:
    """If all frames are swapped, each trade still arrives once."""
    listener, simulator = asyncio.run(play(exchange, FaultRates(swap=1)))
    assert received_trades(listener) == published_trades(
        simulator.journal, exchange, unit_us(exchange)
    )


@each
def test_truncated_frames_count_as_skipped(exchange: str) -> None:
    """They become dead letters, and their trades are marked in the journal."""
    listener, simulator = asyncio.run(play(exchange, FaultRates(truncate=0.3)))
    decoded = decoding.read(exchange, *listener.texts)
    assert set(decoded.dead_letters["reason"]) == {"bad_json"}
    arrived = Counter(ids(listener))
    published = Counter(
        (entry.trade.market.native_symbol, entry.trade.trade_id)
        for entry in simulator.journal
        if entry.trade.market.exchange == exchange and not entry.skipped
    )
    assert arrived == published
    assert any(entry.skipped for entry in simulator.journal)


@each
def test_garbage_is_sent_beside_every_good_frame(exchange: str) -> None:
    """Garbage of several kinds becomes dead letters, and every trade arrives once."""
    listener, simulator = asyncio.run(play(exchange, FaultRates(garbage=0.5)))
    letters = decoding.read(exchange, *listener.texts).dead_letters
    assert letters.height
    assert Counter(ids(listener)) == Counter(
        (entry.trade.market.native_symbol, entry.trade.trade_id)
        for entry in simulator.journal
        if entry.trade.market.exchange == exchange
    )
    assert letters["reason"].n_unique() > 2


def test_faults_depend_only_on_their_seed() -> None:
    market = catalog.spot_kraken(1_000)[0]
    bundle = tuple(Trade(market, n, 0, 1, 1, True, True, 0) for n in range(50))
    fault_rates = FaultRates(skip=0.5, truncate=0.2, repeat=0.2, swap=0.2, garbage=0.2)

    def drawn(seed: int) -> list[object]:
        picker = FaultPicker(fault_rates, seed, "kraken")
        faults: list[object] = [picker.drop_skipped(bundle)]
        for _ in range(50):
            fault = picker.next_fault()
            faults.append((fault.texts('{"symbol":"A"}'), fault.is_lost, fault.is_late))
        return faults

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
