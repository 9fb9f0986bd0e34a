"""Markets of the made frames, and how their exchanges write trades."""

from collections.abc import Sequence
from dataclasses import replace

from candlewax.simulator.exchanges.registry import feed_of, markets_of
from candlewax.simulator.frames import trades as written
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import Market, Trade

_ORDER_US = 1_000


def markets() -> list[Market]:
    """Return the markets of all exchanges; ids of Bitstamp do not count its trades."""
    spot = (
        catalog.spot_binance(_ORDER_US) + catalog.spot_kraken(_ORDER_US)
        + catalog.spot_coinbase(_ORDER_US)
    )  # fmt: skip
    ether = replace(catalog.USDM_BTC, native_symbol="ETHUSDT", base="ETH", first_id=5)
    crosses = catalog.KRAKEN_EUR, catalog.COINBASE_CROSS
    return [*spot, catalog.USDM_BTC, ether, *crosses, *markets_of("bitstamp")]


def text(trades: Sequence[Trade], now_us: int, unit_us: int, number: int, kind: str) -> str:
    """Return the frame of trades of one market, as its exchange sends it."""
    trade = trades[0]
    exchange = trade.market.exchange
    if exchange == "binance":
        return written.binance(trade, now_us, unit_us)
    if exchange == "binance_usdm":
        return written.binance_usdm(trade, now_us, unit_us)
    if exchange == "kraken":
        has_ids = trade.market.has_ids
        return written.kraken_v2(trades, kind) if has_ids else written.kraken_v1(trades)
    if exchange == "bitstamp":
        return feed_of(exchange).trades(tuple(trades), now_us)
    if trade.market is catalog.COINBASE_CROSS:
        return written.coinbase_match(trade)
    return written.coinbase_advanced(trades, now_us, number, kind)
