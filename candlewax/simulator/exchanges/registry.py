"""The exchanges that are played, each with its markets and its manners."""

from typing import Final

from candlewax.simulator.exchanges import coinbase as as_coinbase
from candlewax.simulator.exchanges import kraken as as_kraken
from candlewax.simulator.exchanges.binance import BinanceSession, feeds
from candlewax.simulator.exchanges.coinbase import CoinbaseSession
from candlewax.simulator.exchanges.kraken import KrakenSession
from candlewax.simulator.exchanges.published import Books
from candlewax.simulator.exchanges.venue import NewClient, Venue
from candlewax.simulator.frame_faults import Chance
from candlewax.simulator.frames.channels import BinanceSpot, BinanceUsdm, Feed
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import SECOND_US, Market
from candlewax.simulator.plan import Plan

PATHS: Final = {
    "binance": "/binance/stream",
    "binance_usdm": "/binance_usdm/stream",
    "kraken": "/kraken/v2",
    "coinbase": "/coinbase",
}
"""Where each exchange is met by a websocket."""

_KINDS: Final[dict[str, tuple[list[Market], list[Feed], NewClient]]] = {
    "binance": (catalog.spot_binance(880_000), feeds(BinanceSpot), BinanceSession),
    "binance_usdm": ([catalog.USDM_BTC], feeds(BinanceUsdm), BinanceSession),
    "kraken": (catalog.spot_kraken(1_520_000), [as_kraken.FEED], KrakenSession),
    "coinbase": (catalog.spot_coinbase(1_400_000), [as_coinbase.FEED], CoinbaseSession),
}
"""Markets, what is said about their trades, and who hears it."""


NATIVES: Final = tuple(market.native for among, _, _ in _KINDS.values() for market in among)
"""What the exchanges call their markets."""


def markets_of(exchange: str, count: int = 0) -> list[Market]:
    """The markets of an exchange; of a spot exchange so many at least."""
    among = _KINDS[exchange][0]
    if len(among) == 1:
        return among
    return [*among, *catalog.made_up(among[-1], max(0, count - len(among)))]


def opened(plan: Plan, books: Books) -> dict[str, Venue]:
    """All exchanges, open."""
    return {
        exchange: Venue(
            exchange,
            markets_of(exchange, plan.markets),
            said,
            new_client,
            books,
            plan.manners,
            Chance(plan.mischief, plan.seed, exchange),
            plan.mischief.refuse,
            int(plan.manners.gather * SECOND_US) if exchange == "coinbase" else 0,
        )
        for exchange, (_, said, new_client) in _KINDS.items()
    }


def met_at(path: str) -> str | None:
    """The exchange one meets at this path, with or without a query."""
    place = path.partition("?")[0].rstrip("/")
    for exchange, known in PATHS.items():
        bare = known.replace("/stream", "/ws")
        # Binance takes the names of streams behind this path, too.
        if place in {known, bare} or (bare != known and place.startswith(f"{bare}/")):
            return exchange
    return None
