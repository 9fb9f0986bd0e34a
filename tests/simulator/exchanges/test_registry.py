"""The exchanges that are played, and their markets."""

import asyncio

from candlewax.core.instruments import Instruments
from candlewax.simulator.exchanges.registry import markets_of
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator


def test_more_markets_are_played_if_asked_for() -> None:
    """Each spot exchange has as many, with names that its rule resolves, and no id twice."""
    known = Instruments({})

    async def play() -> None:
        plan = Plan(rate=20_000, trades=5_000, markets=20)
        async with Simulator(plan) as simulator:
            await simulator.ended()
        played = {(one.market.exchange, one.market.native_symbol) for one, *_ in simulator.journal}
        for exchange in ("binance", "kraken", "coinbase"):
            markets = markets_of(exchange, 20)
            assert len({one.native_symbol for one in markets}) == 20
            for one in markets:
                found = known.resolve(exchange, one.native_symbol)
                assert found is not None
                assert found.symbol == one.symbol
            assert {native for where, native in played if where == exchange} == {
                one.native_symbol for one in markets
            }
        ids = [
            (one.market.exchange, one.market.native_symbol, one.trade_id)
            for one, *_ in simulator.journal
        ]
        assert len(set(ids)) == len(ids)

    asyncio.run(play())
