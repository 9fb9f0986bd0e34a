"""The simulated Gemini as its clients see it."""

import asyncio

from candlewax.exchanges.gemini import GEMINI
from candlewax.exchanges.protocol.rest import Cursor
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import listen
from tests.support.simulator_rest import ask, ask_all


def test_each_request_is_answered_by_its_id() -> None:
    """One bad stream refuses the whole request."""

    async def subscribe() -> None:
        plan = Plan(starts_paused=True, fault_rates=FaultRates(refuse=("ethusd",)))
        async with Simulator(plan) as simulator, listen(simulator, "gemini") as listener:
            await listener.send(GEMINI.live.subscribe(["btcusd", "ethusd"], 1))
            refusal = await listener.next()
            assert (refusal["id"], refusal["status"]) == ("1", 400)
            assert not simulator.subscribed("gemini")
            await listener.send(GEMINI.live.subscribe(["btcusd"], 2))
            assert await listener.next() == {"id": "2", "status": 200}
            assert simulator.subscribed("gemini") == {"btcusd"}
            await listener.send('{"id":"ping","method":"ping"}')
            assert (await listener.next())["id"] == "ping"
            for bad in ("[]", "{", '{"id":"3","method":"subscribe"}'):
                await listener.send(bad)
                assert (await listener.next())["status"] == 400
            await listener.send({"id": "4", "method": "unsubscribe", "params": ["btcusd@trade"]})
            assert (await listener.next())["status"] == 200
            assert not simulator.subscribed("gemini")

    asyncio.run(subscribe())


def test_rest_pages_by_time_reach_every_trade() -> None:
    """The oldest trades behind a time come first, each page newest first."""

    async def walk() -> None:
        async with Simulator(Plan(rate=50_000, trades=8_000)) as simulator:
            await simulator.ended()
            trades = [
                trade
                for trade, *_ in simulator.journal
                if trade.market.exchange == "gemini" and trade.market.native_symbol == "btcusd"
            ]
            cursor, seen = Cursor(0, trades[0].time_us * 1000), set[int]()
            while True:
                reply = await ask(
                    simulator, f"/gemini{GEMINI.rest.trades_path('btcusd', cursor, 100)}"
                )
                page = GEMINI.rest.parse_page(reply.json)
                if seen.issuperset(page.numbers):
                    break
                seen.update(page.numbers)
                cursor = Cursor(0, page.until_ns)
            assert seen == {trade.trade_id for trade in trades}
            assert len(seen) > 100

    asyncio.run(walk())


def test_rest_refusals_are_read() -> None:
    path = "/gemini/v1/trades"
    (unknown, invalid), _ = ask_all(
        f"{path}/nopeusd", f"{path}/btcusd?limit_trades=x", plan=Plan(rate=50_000, trades=10)
    )
    (limited,), _ = ask_all(
        f"{path}/btcusd", plan=Plan(rate=50_000, trades=10, fault_rates=FaultRates(limit=1))
    )
    errors = [
        GEMINI.rest.parse_error(reply.status, reply.json) for reply in (unknown, invalid, limited)
    ]
    kinds = [error.kind.value for error in errors if error]
    assert kinds == ["permanent", "failed", "rate limited"]
