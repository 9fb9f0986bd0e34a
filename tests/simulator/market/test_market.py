"""The seeded market: how its trades relate to each other."""

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


def generate(market: Market, seed: int = 1) -> list[Trade]:
    path = Path(seed, market.base, START_US, 3_601)
    return list(trades(market, path, START_US, END_US, seed))


each = pytest.mark.parametrize("market", MARKETS, ids=lambda m: f"{m.exchange} {m.native_symbol}")


@each
def test_market_depends_only_on_its_seed(market: Market) -> None:
    assert generate(market) == generate(market)
    assert generate(market) != generate(market, seed=2)


@each
def test_ids_are_consecutive_and_times_do_not_go_back(market: Market) -> None:
    """Ids start at the first id of the market, and times stay within the span."""
    fills = generate(market)
    assert [t.trade_id for t in fills] == list(range(market.first_id, fills[-1].trade_id + 1))
    assert all(before.time_us <= after.time_us for before, after in pairwise(fills))
    assert fills[0].time_us >= START_US
    assert fills[-1].time_us < END_US


@each
def test_fills_of_an_order_share_time_and_side(market: Market) -> None:
    """No two orders share a time. Each fill has the price of the one before or a worse one."""
    orders = defaultdict(list)
    for trade in generate(market):
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
def test_prices_stay_near_the_first_and_quantities_are_positive(market: Market) -> None:
    """Prices stay within a tenth, and quantities are at least one lot."""
    for trade in generate(market):
        assert market.price * 9 < trade.price * 10 < market.price * 11
        assert trade.quantity >= 1


def test_exchanges_have_nearly_the_same_price() -> None:
    """In each minute in which both trade the asset."""
    binance, coinbase = (
        {trade.time_us // MINUTE_US: trade.price for trade in generate(market)}
        for market in (catalog.spot_binance(900_000)[0], catalog.spot_coinbase(900_000)[0])
    )
    shared = binance.keys() & coinbase.keys()
    assert len(shared) > 50
    assert all(abs(binance[at] - coinbase[at]) * 500 < binance[at] for at in shared)


def test_only_futures_have_conditions() -> None:
    """Some trades of futures have one."""
    flagged = [sum(bool(trade.condition) for trade in generate(market)) for market in MARKETS]
    assert [bool(count) for count in flagged] == [bool(market.conditions) for market in MARKETS]


def test_busiest_minute_has_many_times_the_trades_of_the_quietest() -> None:
    """Trading comes in waves."""
    counts = Counter(trade.time_us // MINUTE_US for trade in generate(MARKETS[0]))
    assert max(counts.values()) > 4 * min(counts.values())
