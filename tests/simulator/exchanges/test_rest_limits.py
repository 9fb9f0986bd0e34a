"""Refusals and rate limits of the simulated REST APIs."""

import asyncio
import urllib.error
import urllib.request

import pytest

from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import wait_until
from tests.support.simulator_rest import BITCOIN, HISTORY, PLAYED, Reply, ask, ask_all, rows


@pytest.mark.parametrize("exchange", HISTORY)
def test_rate_limited_request_is_refused_as_the_exchange_does(exchange: str) -> None:
    """Binance says when to retry, and Kraken answers with 200. Health is never refused."""

    async def run() -> None:
        plan = Plan(trades=1, limits=ExchangeLimits(retry_after=7))
        async with Simulator(plan) as simulator:
            simulator.limit(2)
            path = HISTORY[exchange].format(BITCOIN[exchange])
            assert (await ask(simulator, "/health")).status == 200
            for _ in range(2):
                reply = await ask(simulator, path)
                retry_after = "7" if exchange.startswith("binance") else None
                assert reply.headers["Retry-After"] == retry_after
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
def test_lacking_answer_misses_three_trades_in_its_middle(exchange: str) -> None:
    """The next answer holds all of them."""

    async def run() -> list[Reply]:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            simulator.lack(1)
            path = HISTORY[exchange].format(BITCOIN[exchange])
            return [await ask(simulator, path) for _ in range(2)]

    lacking, whole = (rows(exchange, reply) for reply in asyncio.run(run()))
    middle = len(whole) // 2 - 1
    assert lacking == whole[:middle] + whole[middle + 3 :]


def test_every_request_is_limited_at_a_rate_of_one() -> None:
    plan = Plan(trades=1, fault_rates=FaultRates(limit=1))
    replies, _ = ask_all(*[HISTORY["kraken"].format("BTC/USD")] * 3, plan=plan)
    assert [reply.json for reply in replies] == [LIMITED] * 3


def test_every_request_fails_at_a_rate_of_one() -> None:
    """With 503 and the HTML page of a gateway."""

    async def run() -> None:
        async with Simulator(Plan(trades=1, fault_rates=FaultRates(fail=1))) as simulator:
            url = f"{simulator.rest_url('kraken')}/0/public/Trades?pair=XBTUSD"
            with pytest.raises(urllib.error.HTTPError) as failure:
                await asyncio.to_thread(urllib.request.urlopen, url)
            with failure.value as answer:
                assert answer.status == 503
                assert b"<html>" in answer.read()

    asyncio.run(run())


def test_historical_futures_trades_need_an_api_key() -> None:
    """The latest trades need none, on another path."""

    async def run() -> None:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            root = "/binance_usdm/fapi/v1"
            refused = await ask(simulator, f"{root}/historicalTrades?symbol=BTCUSDT", key="")
            assert (refused.status, refused.json["code"]) == (401, -2014)
            latest = await ask(simulator, f"{root}/trades?symbol=BTCUSDT&limit=1000", key="")
            keyed = await ask(simulator, f"{root}/historicalTrades?symbol=BTCUSDT&limit=5")
            assert keyed.json == latest.json[-5:]

    asyncio.run(run())


@pytest.mark.parametrize("exchange", HISTORY)
def test_rest_returns_no_trades_older_than_its_oldest(exchange: str) -> None:
    """A request for older ones returns the oldest available ones, or none from Coinbase."""

    async def run() -> None:
        plan = Plan(rate=50_000, trades=6_000, fault_rates=FaultRates(oldest=20))
        async with Simulator(plan) as simulator:
            await simulator.ended()
            path = HISTORY[exchange].format(BITCOIN[exchange])
            newest = rows(exchange, await ask(simulator, path))
            assert len(newest) == 20
            old = {"kraken": "&since=1", "coinbase": "&after=9"}.get(exchange, "&fromId=1")
            older = rows(exchange, await ask(simulator, path + old))
            assert older == ([] if exchange == "coinbase" else newest)

    asyncio.run(run())


def test_rest_returns_only_the_kept_trades() -> None:
    """If the plan keeps some trades, older ones are dropped."""
    plan = Plan(rate=50_000, trades=5_000, keep=50)
    (reply,), journal = ask_all(
        "/binance/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0", plan=plan
    )
    assert 50 <= len(journal) <= 100
    (newest,), _ = ask_all("/binance/api/v3/historicalTrades?symbol=BTCUSDT&limit=50", plan=plan)
    assert len(newest.json) == 50
    assert 50 <= len(reply.json) <= 100


async def _play_more(simulator: Simulator) -> None:
    """Play 2,000 more trades."""
    target = len(simulator.journal) + 2_000
    simulator.begin()
    await wait_until(lambda: len(simulator.journal) >= target)
    simulator.pause()


def test_kraken_pages_by_time_after_its_clock_was_stepped_back() -> None:
    """The pages hold each trade once, with ids out of order."""

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, starts_paused=True)) as simulator:
            for seconds in (30, 0):
                simulator.player.step_clock("kraken", seconds)
                await _play_more(simulator)
            found_ids: list[int] = []
            since = "1"
            while True:
                path = f"/kraken/0/public/Trades?pair=BTC/USD&count=50&since={since}"
                result = (await ask(simulator, path)).json["result"]
                if not result["BTC/USD"]:
                    break
                found_ids += [row[-1] for row in result["BTC/USD"]]
                since = result["last"]
            trades = simulator.published.market_trades("kraken", "BTC/USD").all()
            assert sorted(found_ids) == [trade.trade_id for trade in trades]
            assert found_ids != sorted(found_ids)

    asyncio.run(run())
