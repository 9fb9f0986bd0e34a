"""Registry of the played exchanges, with their markets, feeds and clients."""

from typing import Final

from candlewax.simulator.exchanges import bitstamp as as_bitstamp
from candlewax.simulator.exchanges import bybit as as_bybit
from candlewax.simulator.exchanges import coinbase as as_coinbase
from candlewax.simulator.exchanges import gemini as as_gemini
from candlewax.simulator.exchanges import kraken as as_kraken
from candlewax.simulator.exchanges import okx as as_okx
from candlewax.simulator.exchanges.binance import BinanceSession, feeds
from candlewax.simulator.exchanges.bitfinex import BitfinexFeed, BitfinexSession
from candlewax.simulator.exchanges.coinbase import CoinbaseSession
from candlewax.simulator.exchanges.kraken import KrakenSession
from candlewax.simulator.exchanges.kraken_futures import KrakenFuturesFeed, KrakenFuturesSession
from candlewax.simulator.exchanges.published import PublishedTrades
from candlewax.simulator.exchanges.venue import NewClient, Venue
from candlewax.simulator.frame_faults import FaultPicker
from candlewax.simulator.frames.channels import BinanceSpot, BinanceUsdm, Feed
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import SECOND_US, Market
from candlewax.simulator.plan import Plan

PATHS: Final = {
    "binance": "/binance/stream",
    "binance_usdm": "/binance_usdm/stream",
    "binance_coinm": "/binance_coinm/stream",
    "binance_us": "/binance_us/stream",
    "kraken": "/kraken/v2",
    "coinbase": "/coinbase",
    "okx": "/okx/ws/v5/business",
    "bybit": "/bybit/v5/public/spot",
    "bybit_linear": "/bybit_linear/v5/public/linear",
    "bitstamp": "/bitstamp",
    "gemini": "/gemini",
    "kraken_futures": "/kraken_futures/ws/v1",
    "bitfinex": "/bitfinex/ws/2",
}
"""Websocket path of each exchange."""

_EXCHANGES: Final[dict[str, tuple[list[Market], list[Feed], NewClient]]] = {
    "binance": (catalog.spot_binance(880_000), feeds(BinanceSpot), BinanceSession),
    "binance_usdm": ([catalog.USDM_BTC], feeds(BinanceUsdm), BinanceSession),
    "binance_coinm": ([catalog.COINM_BTC], feeds(BinanceUsdm), BinanceSession),
    "binance_us": ([catalog.US_BTC], feeds(BinanceSpot), BinanceSession),
    "kraken": (catalog.spot_kraken(1_520_000), [as_kraken.FEED], KrakenSession),
    "coinbase": (catalog.spot_coinbase(1_400_000), [as_coinbase.FEED], CoinbaseSession),
    "okx": (as_okx.MARKETS, [as_okx.OkxFeed()], as_okx.OkxSession),
    "bybit": (as_bybit.SPOT, [as_bybit.FEEDS["bybit"]], as_bybit.BybitSession),
    "bybit_linear": (as_bybit.LINEAR, [as_bybit.FEEDS["bybit_linear"]], as_bybit.BybitSession),
    "bitstamp": (as_bitstamp.MARKETS, [as_bitstamp.BitstampFeed()], as_bitstamp.BitstampSession),
    "gemini": (as_gemini.MARKETS, [as_gemini.GeminiFeed()], as_gemini.GeminiSession),
    "kraken_futures": (catalog.KRAKEN_FUTURES, [KrakenFuturesFeed()], KrakenFuturesSession),
    "bitfinex": (catalog.BITFINEX, [BitfinexFeed()], BitfinexSession),
}
"""Markets, feeds and client class of each exchange."""


NATIVE_SYMBOLS: Final = tuple(
    market.native_symbol for markets, _, _ in _EXCHANGES.values() for market in markets
)
"""Native symbols of all markets."""


def markets_of(exchange: str, count: int = 0) -> list[Market]:
    """Return the markets of an exchange; of a spot exchange at least `count`."""
    markets = _EXCHANGES[exchange][0]
    if len(markets) == 1:
        return markets
    return [*markets, *catalog.make_markets(markets[-1], max(0, count - len(markets)))]


def feed_of(exchange: str) -> Feed:
    """Return the feed of an exchange, in the form that most clients get."""
    return _EXCHANGES[exchange][1][0]


def open_venues(plan: Plan, published: PublishedTrades) -> dict[str, Venue]:
    """Return all exchanges, open."""
    return {
        exchange: Venue(
            exchange,
            markets_of(exchange, plan.markets),
            feeds_by_form,
            new_client,
            published,
            plan.limits,
            FaultPicker(plan.fault_rates, plan.seed, exchange),
            plan.fault_rates.refuse,
            int(plan.limits.gather * SECOND_US) if exchange == "coinbase" else 0,
        )
        for exchange, (_, feeds_by_form, new_client) in _EXCHANGES.items()
    }


def exchange_at(path: str) -> str | None:
    """Return the exchange at a path, with or without a query."""
    place = path.partition("?")[0].rstrip("/")
    for exchange, own_path in PATHS.items():
        bare = own_path.replace("/stream", "/ws")
        # Binance also accepts stream names after this path.
        if place in {own_path, bare} or (bare != own_path and place.startswith(f"{bare}/")):
            return exchange
    return None
