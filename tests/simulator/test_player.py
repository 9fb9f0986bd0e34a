"""The player: the seeded market in real time, and recordings."""

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
from tests.support.simulator_clients import Listener, listen, wait_until

ALL = [
    *catalog.spot_binance(880_000),
    catalog.USDM_BTC,
    *catalog.spot_kraken(1_520_000),
    *catalog.spot_coinbase(1_400_000),
]


def play_orders(seed: int, orders: int, ids_from: int = 0) -> list[Trade]:
    tape = TradeTape(ALL, seed, 100, ids_from)
    return [trade for number in range(orders) for trade in tape.order(number)]


def test_tape_depends_only_on_its_seed() -> None:
    assert play_orders(1, 500) == play_orders(1, 500)
    assert play_orders(1, 500) != play_orders(2, 500)


def test_ids_of_each_market_are_consecutive() -> None:
    """Each market starts at its own first id, shifted by `ids_from`."""
    by_market: dict[str, list[Trade]] = {}
    for trade in play_orders(1, 3_000, ids_from=10**9):
        by_market.setdefault(trade.market.exchange + trade.market.native_symbol, []).append(trade)
    assert len(by_market) == len(ALL)
    for trades in by_market.values():
        first = trades[0].market.first_id + 10**9
        assert [trade.trade_id for trade in trades] == list(range(first, first + len(trades)))


def test_fills_share_a_time_only_within_an_order() -> None:
    trades = play_orders(1, 500)
    times = {(t.market.exchange, t.market.native_symbol, t.order): t.time_us for t in trades}
    assert len(set(times.values())) == len(times) == 500
    assert all(
        times[t.market.exchange, t.market.native_symbol, t.order] == t.time_us for t in trades
    )


def test_larger_market_trades_more() -> None:
    """Bitcoin trades more than Polkadot; prices stay near that of the market."""
    trades = play_orders(1, 3_000)
    count = {
        name: sum(t.market.native_symbol == name for t in trades) for name in ("BTCUSDT", "DOTUSDT")
    }
    assert count["BTCUSDT"] > 5 * count["DOTUSDT"] > 0
    for trade in trades:
        assert trade.quantity > 0
        assert 0.5 < trade.price / trade.market.price < 2


def test_paused_plan_publishes_nothing_until_it_begins() -> None:
    """It ends after the planned number of trades, at the end of an order."""

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, trades=100, starts_paused=True)) as simulator:
            await asyncio.sleep(0.02)
            assert simulator.journal == []
            simulator.begin()
            await simulator.ended()
            assert 100 <= len(simulator.journal) < 150
            assert simulator.sent == len(simulator.journal)

    asyncio.run(run())


async def _play_more(simulator: Simulator) -> list[Published]:
    """Play 5,000 more trades and return the journal, with no trade left to be sent."""
    target = len(simulator.journal) + 5_000
    simulator.begin()
    await wait_until(lambda: len(simulator.journal) >= target)
    simulator.pause()
    for venue in simulator.venues.values():
        venue.send_gathered()
    return list(simulator.journal)


def test_exchange_restarts_its_ids_alone() -> None:
    """Its ids start at the given number in a later millisecond, and REST shows no earlier trade.
    The ids of other exchanges continue.
    """

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, starts_paused=True)) as simulator:
            before = await _play_more(simulator)
            simulator.player.restart_ids("kraken", 7)
            after = (await _play_more(simulator))[len(before) :]
            last = {entry.trade.market: entry.trade for entry in before}
            next_ids: dict[Market, int] = {}
            for trade, *_ in after:
                market = trade.market
                first_id = 7 if market.exchange == "kraken" else last[market].trade_id + 1
                assert trade.trade_id == next_ids.get(market, first_id)
                if market.exchange == "kraken":
                    assert trade.time_us // 1000 > last[market].time_us // 1000
                next_ids[market] = trade.trade_id + 1
            assert {market.exchange for market in next_ids} == simulator.venues.keys()
            shown = simulator.published.market_trades("kraken", "BTC/USD").all()
            assert shown[0].trade_id == 7
            assert simulator.published.market_trades("binance", "BTCUSDT").all()[0] in [
                entry.trade for entry in before
            ]

    asyncio.run(run())


def test_exchange_steps_its_clock_alone() -> None:
    """Its trades carry shifted times until the clock is set back; other exchanges do not change."""

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, starts_paused=True)) as simulator:
            for seconds in (50, -3_600, 0):
                simulator.player.step_clock("coinbase", seconds)
                begin = len(simulator.journal)
                for trade, sent_ns, _ in (await _play_more(simulator))[begin:]:
                    shift = seconds if trade.market.exchange == "coinbase" else 0
                    assert abs(sent_ns / 1e9 - trade.time_us / 1e6 + shift) < 20

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


async def replay(plan: Plan, exchange: str, native: str, count: int) -> list[str]:
    """Return the first frames after the answers to a subscription."""
    async with Simulator(plan) as simulator, listen(simulator, exchange) as listener:
        await _subscribe(listener, native)
        before = len(listener.texts)
        for _ in range(count):
            await listener.next_text()
        assert simulator.sent >= count
        assert simulator.journal == []
        return listener.texts[before:]


async def _subscribe(listener: Listener, native: str) -> None:
    await listener.subscribe(native)
    if listener.exchange == "coinbase":
        await listener.until(lambda text: '"snapshot"' in text)


@pytest.mark.parametrize("pace", [0, 1, 50])
@pytest.mark.parametrize(
    ("exchange", "native"), [("binance", "BTCUSDT"), ("kraken", "BTC/USD"), ("coinbase", "BTC-USD")]
)
def test_recording_is_played_verbatim(log: Path, exchange: str, native: str, pace: float) -> None:
    """A client receives the frames of its exchange in the order of the log."""
    expected = [text for _, name, _, text in FRAMES if name == exchange]
    plan = Plan(recording=log, pace=pace)
    assert asyncio.run(replay(plan, exchange, native, len(expected))) == expected


def test_sample_is_played_without_pacing() -> None:
    """A client receives all frames of its exchange in order."""
    expected = [text for _, text in read_frames(SAMPLE, "coinbase")]
    assert len(expected) > 1_000
    plan = Plan(recording=SAMPLE, pace=0)
    assert asyncio.run(replay(plan, "coinbase", "BTC-USD", len(expected))) == expected


def test_recording_of_an_exchange_begins_with_its_first_client(log: Path) -> None:
    """A client of another exchange that connects later receives its first frame."""

    async def run() -> None:
        async with Simulator(Plan(recording=log, pace=0)) as simulator:
            async with listen(simulator, "kraken") as listener:
                await listener.subscribe("BTC/USD")
                assert await listener.next_text() == FRAMES[1][3]
            async with listen(simulator, "binance") as listener:
                await listener.subscribe("BTCUSDT")
                assert await listener.next_text() == FRAMES[0][3]

    asyncio.run(run())
