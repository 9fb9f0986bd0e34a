"""The seeded market: what one trade has to do with the next."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import MINUTE_US, Market, Path, Trade, trades

START_US = 1_789_421_400_000_000
END_US = START_US + 60 * MINUTE_US

MARKETS = [
    catalog.spot_binance(900_000)[0],
    catalog.spot_kraken(900_000)[3],
    catalog.spot_coinbase(900_000)[4],
    catalog.USDM_BTC,
    catalog.KRAKEN_EUR,
    catalog.COINBASE_CROSS,
]


def made(market: Market, seed: int = 1) -> list[Trade]:
    path = Path(seed, market.base, START_US, 3_601)
    return list(trades(market, path, START_US, END_US, seed))


each = pytest.mark.parametrize("market", MARKETS, ids=lambda m: f"{m.exchange} {m.native_symbol}")


@each
def test_a_seed_makes_one_market(market: Market) -> None:
    """The same seed gives the same trades, another one others."""
    assert made(market) == made(market)
    assert made(market) != made(market, seed=2)


@each
def test_ids_have_no_hole(market: Market) -> None:
    """Ids count from the first, and times never go back nor leave the hours asked for."""
    found = made(market)
    assert [t.trade_id for t in found] == list(range(market.first_id, found[-1].trade_id + 1))
    assert all(before.time_us <= after.time_us for before, after in pairwise(found))
    assert found[0].time_us >= START_US
    assert found[-1].time_us < END_US


@each
def test_an_order_is_filled_at_once(market: Market) -> None:
    """Fills share time and side with those of their order, and the time with no other;
    each is at the price of the one before it or a worse one.
    """
    orders = defaultdict(list)
    for trade in made(market):
        orders[trade.order].append(trade)
    times = [{trade.time_us for trade in fills} for fills in orders.values()]
    assert all(len(time) == 1 for time in times)
    assert len(set.union(*times)) == len(orders)
    assert any(len(fills) > 2 for fills in orders.values())
    for fills in orders.values():
        assert len({trade.bought for trade in fills}) == 1
        prices = [trade.price for trade in fills]
        assert prices == sorted(prices, reverse=not fills[0].bought)


@each
def test_amounts_are_above_zero(market: Market) -> None:
    """Prices stay near the first one and quantities are at least a lot."""
    for trade in made(market):
        assert market.price * 9 < trade.price * 10 < market.price * 11
        assert trade.quantity >= 1


def test_exchanges_move_together() -> None:
    """The price of an asset is nearly the same on all exchanges at all times."""
    binance, coinbase = (
        {trade.time_us // MINUTE_US: trade.price for trade in made(market)}
        for market in (catalog.spot_binance(900_000)[0], catalog.spot_coinbase(900_000)[0])
    )
    together = binance.keys() & coinbase.keys()
    assert len(together) > 50
    assert all(abs(binance[at] - coinbase[at]) * 500 < binance[at] for at in together)


def test_only_futures_carry_conditions() -> None:
    """A few trades of the futures carry a condition, none of the others do."""
    flagged = [sum(bool(trade.condition) for trade in made(market)) for market in MARKETS]
    assert [bool(count) for count in flagged] == [bool(market.conditions) for market in MARKETS]


def test_some_minutes_are_busier() -> None:
    """Trading comes in waves: the busiest minute has many times the trades of the quietest."""
    counts = Counter(trade.time_us // MINUTE_US for trade in made(MARKETS[0]))
    assert max(counts.values()) > 4 * min(counts.values())
