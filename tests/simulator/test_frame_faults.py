"""What goes wrong on the sockets, and what the journal says of it."""

import asyncio
from collections import Counter

import pytest

from candlewax.simulator.frame_faults import FaultPicker
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import Trade
from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import EXCHANGES, Ear, heard, listen, names, told, unit_us

each = pytest.mark.parametrize("exchange", EXCHANGES)


async def play(
    exchange: str, fault_rates: FaultRates, trades: int = 1_500
) -> tuple[Ear, Simulator]:
    # So that the frames do not depend on how fast the test runs.
    limits = ExchangeLimits(gather=0)
    plan = Plan(
        rate=20_000, trades=trades, starts_paused=True, fault_rates=fault_rates, limits=limits
    )
    async with Simulator(plan) as simulator, listen(simulator, exchange) as ear:
        await ear.subscribe(*names(simulator, exchange))
        simulator.begin()
        await simulator.ended()
        await ear.catch_up()
        return ear, simulator


def ids(ear: Ear) -> list[tuple[str, int]]:
    """Market and number of each trade in the order they came."""
    decoded = decoding.read(ear.exchange, *ear.texts)
    return [(row["native_symbol"], int(row["trade_id"])) for row in decoded.trades.rows(named=True)]


@each
def test_skipped_trades_are_not_heard(exchange: str) -> None:
    """They are published, and the journal says which they are."""
    ear, simulator = asyncio.run(play(exchange, FaultRates(skip=0.2)))
    assert heard(ear) == told(simulator.journal, exchange, unit_us(exchange))
    skipped = sum(one.skipped for one in simulator.journal)
    assert 0.1 < skipped / len(simulator.journal) < 0.3
    assert simulator.published.skipped == skipped


@each
def test_repeated_frames_come_twice(exchange: str) -> None:
    """Some trades come twice, none is missing."""
    ear, simulator = asyncio.run(play(exchange, FaultRates(repeat=0.3)))
    once = told(simulator.journal, exchange, unit_us(exchange))
    assert heard(ear).keys() == once.keys()
    assert set(heard(ear).values()) == {1, 2}


@each
def test_swapped_frames_pass_each_other(exchange: str) -> None:
    """The ids of a market go back at times; every trade comes once."""
    ear, simulator = asyncio.run(play(exchange, FaultRates(swap=0.3)))
    assert heard(ear) == told(simulator.journal, exchange, unit_us(exchange))
    last: dict[str, int] = {}
    back = 0
    for name, number in ids(ear):
        back += number < last.get(name, 0)
        last[name] = number
    assert back


@each
def test_a_late_frame_comes_in_the_end(exchange: str) -> None:
    """Also when no other follows."""
    ear, simulator = asyncio.run(play(exchange, FaultRates(swap=1)))
    assert heard(ear) == told(simulator.journal, exchange, unit_us(exchange))


@each
def test_truncated_frames_are_as_good_as_skipped(exchange: str) -> None:
    """They are dead letters, and what they said is marked in the journal."""
    ear, simulator = asyncio.run(play(exchange, FaultRates(truncate=0.3)))
    decoded = decoding.read(exchange, *ear.texts)
    assert set(decoded.dead_letters["reason"]) == {"bad_json"}
    came = Counter(ids(ear))
    published = Counter(
        (one.trade.market.native_symbol, one.trade.trade_id)
        for one in simulator.journal
        if one.trade.market.exchange == exchange and not one.skipped
    )
    assert came == published
    assert any(one.skipped for one in simulator.journal)


@each
def test_garbage_stands_between_good_frames(exchange: str) -> None:
    """Unreadable frames of several kinds come beside all the good ones."""
    ear, simulator = asyncio.run(play(exchange, FaultRates(garbage=0.5)))
    letters = decoding.read(exchange, *ear.texts).dead_letters
    assert letters.height
    assert Counter(ids(ear)) == Counter(
        (one.trade.market.native_symbol, one.trade.trade_id)
        for one in simulator.journal
        if one.trade.market.exchange == exchange
    )
    assert letters["reason"].n_unique() > 2


def test_chance_repeats_itself() -> None:
    """The same seed draws the same fates, another one others."""
    market = catalog.spot_kraken(1_000)[0]
    bundle = tuple(Trade(market, n, 0, 1, 1, True, True, 0) for n in range(50))
    fault_rates = FaultRates(skip=0.5, truncate=0.2, repeat=0.2, swap=0.2, garbage=0.2)

    def drawn(seed: int) -> list[object]:
        chance = FaultPicker(fault_rates, seed, "kraken")
        found: list[object] = [chance.drop_skipped(bundle)]
        for _ in range(50):
            fate = chance.next_fault()
            found.append((fate.texts('{"symbol":"A"}'), fate.is_lost, fate.is_late))
        return found

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
