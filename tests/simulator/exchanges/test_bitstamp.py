"""The simulated Bitstamp as its clients see it."""

import asyncio

from candlewax.exchanges.bitstamp import BITSTAMP
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import listen
from tests.support.simulator_rest import ask, ask_all


def test_each_message_is_answered() -> None:
    """A refusal names no market; a heartbeat is answered at once."""

    async def subscribe() -> None:
        plan = Plan(starts_paused=True, fault_rates=FaultRates(refuse=("ethusd",)))
        async with Simulator(plan) as simulator, listen(simulator, "bitstamp") as listener:
            await listener.send(BITSTAMP.live.subscribe(["btcusd"], 1))
            ack = await listener.next()
            assert ack == {
                "event": "bts:subscription_succeeded", "channel": "live_trades_btcusd", "data": {}
            }  # fmt: skip
            assert simulator.subscribed("bitstamp") == {"btcusd"}
            await listener.send(BITSTAMP.live.subscribe(["ethusd"], 2))
            refusal = await listener.next()
            assert (refusal["event"], refusal["channel"]) == ("bts:error", "")
            await listener.send('{"event":"bts:heartbeat"}')
            assert (await listener.next())["data"] == {"status": "success"}
            for bad in ("[]", "{", '{"event":"bts:subscribe","data":{}}'):
                await listener.send(bad)
                assert (await listener.next())["event"] == "bts:error"
            message = {"event": "bts:unsubscribe", "data": {"channel": "live_trades_btcusd"}}
            await listener.send(message)
            assert (await listener.next())["event"] == "bts:unsubscription_succeeded"
            assert not simulator.subscribed("bitstamp")

    asyncio.run(subscribe())


def test_rest_shows_the_trades_of_the_last_minute_newest_first() -> None:
    async def page() -> None:
        async with Simulator(Plan(rate=50_000, trades=3_000)) as simulator:
            await simulator.ended()
            ids = [
                str(trade.trade_id)
                for trade, *_ in simulator.journal
                if trade.market.exchange == "bitstamp" and trade.market.native_symbol == "btcusd"
            ]
            reply = await ask(simulator, "/bitstamp/api/v2/transactions/btcusd/?time=minute")
            assert [row["tid"] for row in reply.json] == ids[::-1]
            assert ids

    asyncio.run(page())


def test_rest_refusals_are_read() -> None:
    path = "/bitstamp/api/v2/transactions"
    (unknown, invalid), _ = ask_all(
        f"{path}/nopeusd/", f"{path}/btcusd/?time=year", plan=Plan(rate=50_000, trades=10)
    )
    (limited,), _ = ask_all(
        f"{path}/btcusd/", plan=Plan(rate=50_000, trades=10, fault_rates=FaultRates(limit=1))
    )
    errors = [
        BITSTAMP.rest.parse_error(reply.status, reply.json) for reply in (unknown, invalid, limited)
    ]
    kinds = [error.kind.value for error in errors if error]
    assert kinds == ["permanent", "failed", "rate limited"]
