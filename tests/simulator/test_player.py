"""What is played: the seeded market in the time that passes, and recordings."""

import asyncio
from pathlib import Path

import pytest

from candlewax.core import frame_log
from candlewax.data import SAMPLE
from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import Market, Trade
from candlewax.simulator.plan import Plan
from candlewax.simulator.player import TradeTape
from candlewax.simulator.replay import read_frames
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import Ear, listen, wait_until

ALL = [
    *catalog.spot_binance(880_000),
    catalog.USDM_BTC,
    *catalog.spot_kraken(1_520_000),
    *catalog.spot_coinbase(1_400_000),
]


def taped(seed: int, orders: int, ids_from: int = 0) -> list[Trade]:
    tape = TradeTape(ALL, seed, 100, ids_from)
    return [trade for number in range(orders) for trade in tape.order(number)]


def test_a_seed_repeats_itself() -> None:
    """The same seed gives the same trades, another one others."""
    assert taped(1, 500) == taped(1, 500)
    assert taped(1, 500) != taped(2, 500)


def test_ids_have_no_holes() -> None:
    """Each market counts from its own number on, moved as asked for."""
    by_market: dict[str, list[Trade]] = {}
    for trade in taped(1, 3_000, ids_from=10**9):
        by_market.setdefault(trade.market.exchange + trade.market.native_symbol, []).append(trade)
    assert len(by_market) == len(ALL)
    for found in by_market.values():
        first = found[0].market.first_id + 10**9
        assert [trade.trade_id for trade in found] == list(range(first, first + len(found)))


def test_fills_of_an_order_share_its_time() -> None:
    """And nothing else: orders are numbered within their market."""
    trades = taped(1, 500)
    times = {(t.market.exchange, t.market.native_symbol, t.order): t.time_us for t in trades}
    assert len(set(times.values())) == len(times) == 500
    assert all(
        times[t.market.exchange, t.market.native_symbol, t.order] == t.time_us for t in trades
    )


def test_large_markets_trade_more() -> None:
    """Bitcoin trades more than Polkadot, and all trade at sensible prices."""
    trades = taped(1, 3_000)
    count = {
        name: sum(t.market.native_symbol == name for t in trades) for name in ("BTCUSDT", "DOTUSDT")
    }
    assert count["BTCUSDT"] > 5 * count["DOTUSDT"] > 0
    for trade in trades:
        assert trade.quantity > 0
        assert 0.5 < trade.price / trade.market.price < 2


def test_trades_wait_until_they_are_wanted() -> None:
    """Nothing is published before it begins, and no more than wanted behind the last order."""

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, trades=100, starts_paused=True)) as simulator:
            await asyncio.sleep(0.02)
            assert simulator.journal == []
            simulator.begin()
            await simulator.ended()
            assert 100 <= len(simulator.journal) < 150
            assert simulator.sent == len(simulator.journal)

    asyncio.run(run())


async def _played_on(simulator: Simulator) -> list[Published]:
    """The journal, once 2,000 trades more are in it and nothing is gathered."""
    wanted = len(simulator.journal) + 2_000
    simulator.begin()
    await wait_until(lambda: len(simulator.journal) >= wanted)
    simulator.pause()
    for venue in simulator.venues.values():
        venue.send_gathered()
    return list(simulator.journal)


def test_one_exchange_begins_its_numbers_anew() -> None:
    """Its markets count from there, in a later millisecond, and REST shows nothing before; the
    others go on.
    """

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, starts_paused=True)) as simulator:
            before = await _played_on(simulator)
            simulator.player.restart_ids("kraken", 7)
            after = (await _played_on(simulator))[len(before) :]
            last = {one.trade.market: one.trade for one in before}
            counted: dict[Market, int] = {}
            for trade, *_ in after:
                market = trade.market
                follows = 7 if market.exchange == "kraken" else last[market].trade_id + 1
                assert trade.trade_id == counted.get(market, follows)
                if market.exchange == "kraken":
                    assert trade.time_us // 1000 > last[market].time_us // 1000
                counted[market] = trade.trade_id + 1
            assert {market.exchange for market in counted} == simulator.venues.keys()
            shown = simulator.published.market_trades("kraken", "BTC/USD").all()
            assert shown[0].trade_id == 7
            assert simulator.published.market_trades("binance", "BTCUSDT").all()[0] in [
                b.trade for b in before
            ]

    asyncio.run(run())


def test_the_clock_of_one_exchange_is_stepped() -> None:
    """Its trades happen so much later, the others when they do; then all is as before."""

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, starts_paused=True)) as simulator:
            for seconds in (50, -3_600, 0):
                simulator.player.step_clock("coinbase", seconds)
                begin = len(simulator.journal)
                for trade, sent_ns, _ in (await _played_on(simulator))[begin:]:
                    off = seconds if trade.market.exchange == "coinbase" else 0
                    assert abs(sent_ns / 1e9 - trade.time_us / 1e6 + off) < 20

    asyncio.run(run())


FRAMES = [
    (1_000, "binance", "b0", '{"stream":"x","data":"\\u00e9 tab\there"}'),
    (1_000, "kraken", "k0", '{"channel":"heartbeat"}'),
    (2_000_000, "binance", "b1", "not JSON\nat all"),
    (3_000_000, "coinbase", "c0", ""),
    (4_000_000, "binance", "b0", '{"e":"other"}'),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A frame log of three exchanges."""
    path = tmp_path / "some.tsv"
    lines = [
        frame_log.format_line(ns, exchange, name, seq, text)
        for seq, (ns, exchange, name, text) in enumerate(FRAMES)
    ]
    path.write_text("".join(lines), encoding="utf-8", newline="")
    return path


async def replayed(plan: Plan, exchange: str, native: str, count: int) -> list[str]:
    """The first frames that come behind the answers to a subscription."""
    async with Simulator(plan) as simulator, listen(simulator, exchange) as ear:
        await _subscribe(ear, native)
        before = len(ear.texts)
        for _ in range(count):
            await ear.next_text()
        assert simulator.sent >= count
        assert simulator.journal == []
        return ear.texts[before:]


async def _subscribe(ear: Ear, native: str) -> None:
    await ear.subscribe(native)
    if ear.exchange == "coinbase":
        await ear.until(lambda text: '"snapshot"' in text)


@pytest.mark.parametrize("pace", [0, 1, 50])
@pytest.mark.parametrize(
    ("exchange", "native"), [("binance", "BTCUSDT"), ("kraken", "BTC/USD"), ("coinbase", "BTC-USD")]
)
def test_a_recording_is_played_verbatim(log: Path, exchange: str, native: str, pace: float) -> None:
    """A client hears the frames of its exchange as they stand in the log, in order."""
    wanted = [text for _, name, _, text in FRAMES if name == exchange]
    plan = Plan(recording=log, pace=pace)
    assert asyncio.run(replayed(plan, exchange, native, len(wanted))) == wanted


def test_the_sample_is_played_as_fast_as_it_is_taken() -> None:
    """All its frames of an exchange come in their order."""
    wanted = [text for _, text in read_frames(SAMPLE, "coinbase")]
    assert len(wanted) > 1_000
    plan = Plan(recording=SAMPLE, pace=0)
    assert asyncio.run(replayed(plan, "coinbase", "BTC-USD", len(wanted))) == wanted


def test_a_recording_begins_with_its_first_listener(log: Path) -> None:
    """Who comes late for one exchange still hears the beginning of another."""

    async def run() -> None:
        async with Simulator(Plan(recording=log, pace=0)) as simulator:
            async with listen(simulator, "kraken") as ear:
                await ear.subscribe("BTC/USD")
                assert await ear.next_text() == FRAMES[1][3]
            async with listen(simulator, "binance") as ear:
                await ear.subscribe("BTCUSDT")
                assert await ear.next_text() == FRAMES[0][3]

    asyncio.run(run())
