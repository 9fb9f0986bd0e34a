"""What REST of the simulated exchanges refuses, and how often it may be asked."""

import asyncio
import urllib.error
import urllib.request

import pytest

from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import wait_until
from tests.support.simulator_rest import BITCOIN, HISTORY, PLAYED, Reply, ask, asked, rows


@pytest.mark.parametrize("exchange", HISTORY)
def test_requests_may_come_too_often(exchange: str) -> None:
    """As many as asked for are refused in the exchange's own way, Binance telling how long
    to wait and Kraken with a status of 200; health never is.
    """

    async def run() -> None:
        plan = Plan(trades=1, limits=ExchangeLimits(retry_after=7))
        async with Simulator(plan) as simulator:
            simulator.limit(2)
            path = HISTORY[exchange].format(BITCOIN[exchange])
            assert (await ask(simulator, "/health")).status == 200
            for _ in range(2):
                reply = await ask(simulator, path)
                told = "7" if exchange.startswith("binance") else None
                assert reply.headers["Retry-After"] == told
                if exchange == "kraken":
                    assert (reply.status, reply.json) == (200, LIMITED)
                else:
                    assert reply.status == 429
            reply = await ask(simulator, path)
            assert reply.status == 200
            assert reply.json != LIMITED
            assert simulator.rest_requests == 3

    asyncio.run(run())


LIMITED = {"error": ["EAPI:Rate limit exceeded"]}


@pytest.mark.parametrize("exchange", HISTORY)
def test_an_answer_may_lack_some_trades(exchange: str) -> None:
    """Three in its middle; its ends are there, and the next answer holds all of them."""

    async def run() -> list[Reply]:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            simulator.lack(1)
            path = HISTORY[exchange].format(BITCOIN[exchange])
            return [await ask(simulator, path) for _ in range(2)]

    lacking, whole = (rows(exchange, reply) for reply in asyncio.run(run()))
    at = len(whole) // 2 - 1
    assert lacking == whole[:at] + whole[at + 3 :]


def test_requests_may_be_limited_by_chance() -> None:
    """With a chance of one all are too many."""
    plan = Plan(trades=1, fault_rates=FaultRates(limit=1))
    replies, _ = asked(*[HISTORY["kraken"].format("BTC/USD")] * 3, plan=plan)
    assert [reply.json for reply in replies] == [LIMITED] * 3


def test_requests_may_fail_by_chance() -> None:
    """With a chance of one all do: a gateway says so, not the exchange."""

    async def run() -> None:
        async with Simulator(Plan(trades=1, fault_rates=FaultRates(fail=1))) as simulator:
            url = f"{simulator.rest_url('kraken')}/0/public/Trades?pair=XBTUSD"
            with pytest.raises(urllib.error.HTTPError) as failure:
                await asyncio.to_thread(urllib.request.urlopen, url)
            with failure.value as answer:
                assert answer.status == 503
                assert b"<html>" in answer.read()

    asyncio.run(run())


def test_old_futures_trades_are_shown_with_a_key_only() -> None:
    """The last ones to everyone, on an address of their own."""

    async def run() -> None:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            root = "/binance_usdm/fapi/v1"
            refused = await ask(simulator, f"{root}/historicalTrades?symbol=BTCUSDT", key="")
            assert (refused.status, refused.json["code"]) == (401, -2014)
            shown = await ask(simulator, f"{root}/trades?symbol=BTCUSDT&limit=1000", key="")
            keyed = await ask(simulator, f"{root}/historicalTrades?symbol=BTCUSDT&limit=5")
            assert keyed.json == shown.json[-5:]

    asyncio.run(run())


@pytest.mark.parametrize("exchange", HISTORY)
def test_only_the_last_trades_may_be_shown(exchange: str) -> None:
    """Asked for older ones, an exchange begins with the oldest it shows, or has none."""

    async def run() -> None:
        plan = Plan(rate=50_000, trades=6_000, fault_rates=FaultRates(oldest=20))
        async with Simulator(plan) as simulator:
            await simulator.ended()
            path = HISTORY[exchange].format(BITCOIN[exchange])
            newest = rows(exchange, await ask(simulator, path))
            assert len(newest) == 20
            old = {"kraken": "&since=1", "coinbase": "&after=9"}.get(exchange, "&fromId=1")
            found = rows(exchange, await ask(simulator, path + old))
            assert found == ([] if exchange == "coinbase" else newest)

    asyncio.run(run())


def test_only_what_is_kept_is_shown() -> None:
    """Old trades are forgotten where not all are to be remembered."""
    plan = Plan(rate=50_000, trades=5_000, keep=50)
    (reply,), journal = asked("/binance/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0", plan=plan)
    assert 50 <= len(journal) <= 100
    (newest,), _ = asked("/binance/api/v3/historicalTrades?symbol=BTCUSDT&limit=50", plan=plan)
    assert len(newest.json) == 50
    assert 50 <= len(reply.json) <= 100


async def _play_on(simulator: Simulator) -> None:
    """Let 2,000 trades happen."""
    wanted = len(simulator.journal) + 2_000
    simulator.begin()
    await wait_until(lambda: len(simulator.journal) >= wanted)
    simulator.pause()


def test_kraken_shows_trades_by_time_after_a_clock_was_stepped_back() -> None:
    """Each once, page by page, though their numbers are in another order."""

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, starts_paused=True)) as simulator:
            for seconds in (30, 0):
                simulator.player.step_clock("kraken", seconds)
                await _play_on(simulator)
            shown: list[int] = []
            since = "1"
            while True:
                path = f"/kraken/0/public/Trades?pair=BTC/USD&count=50&since={since}"
                result = (await ask(simulator, path)).json["result"]
                if not result["BTC/USD"]:
                    break
                shown += [row[-1] for row in result["BTC/USD"]]
                since = result["last"]
            trades = simulator.published.market_trades("kraken", "BTC/USD").all()
            assert sorted(shown) == [trade.trade_id for trade in trades]
            assert shown != sorted(shown)

    asyncio.run(run())
