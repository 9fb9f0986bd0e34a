"""The simulated exchanges and their markets."""

import asyncio

from candlewax.core.instruments import Instruments
from candlewax.simulator.exchanges.registry import markets_of
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator


def test_plan_with_more_markets_plays_all_of_them() -> None:
    """Each spot exchange has that many. Their names can be resolved, and no id occurs twice."""
    known = Instruments({})

    async def play() -> None:
        plan = Plan(rate=20_000, trades=12_000, markets=20)
        async with Simulator(plan) as simulator:
            await simulator.ended()
        played = {
            (trade.market.exchange, trade.market.native_symbol) for trade, *_ in simulator.journal
        }
        for exchange in ("binance", "kraken", "coinbase"):
            markets = markets_of(exchange, 20)
            assert len({market.native_symbol for market in markets}) == 20
            for market in markets:
                instrument = known.resolve(exchange, market.native_symbol)
                assert instrument is not None
                assert instrument.symbol == market.symbol
            assert {native for where, native in played if where == exchange} == {
                market.native_symbol for market in markets
            }
        ids = [
            (trade.market.exchange, trade.market.native_symbol, trade.trade_id)
            for trade, *_ in simulator.journal
        ]
        assert len(set(ids)) == len(ids)

    asyncio.run(play())
