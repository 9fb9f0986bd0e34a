"""Choice of markets by the value that they trade in a day."""

from decimal import Decimal

from candlewax.core.market_choice import choose
from candlewax.exchanges.protocol.markets import ListedMarket, MarketStatus


def market(symbol: str, price: str | None, turnover: str | None) -> ListedMarket:
    """Return a market that trades."""
    base, quote = symbol.split("/")
    values = (None if text is None else Decimal(text) for text in (price, turnover))
    return ListedMarket(symbol, symbol, base, quote, price=next(values), turnover=next(values))


MARKETS = [
    market("BTC/USDT", "50000", "900"),
    market("ETH/BTC", "0.05", "0.03"),  # 1,500 dollars
    market("USDT/TRY", "40", "20000"),  # 500 dollars
    market("ETH/EUR", "2000", "5000"),  # EUR has no price
    market("SOL/USDT", None, None),
    ListedMarket("OLD", "OLD/USDT", "OLD", "USDT", status=MarketStatus.SUSPENDED),
]


def test_values_in_different_quotes_are_compared_in_dollars() -> None:
    """Markets of unknown value come last, in the order of their names."""
    ranked = [one.symbol for one in choose(MARKETS, [], [], None)]
    assert ranked == ["ETH/BTC", "BTC/USDT", "USDT/TRY", "ETH/EUR", "SOL/USDT"]
    assert [one.symbol for one in choose(MARKETS, [], [], 2)] == ranked[:2]


def test_quotes_and_names_restrict_the_choice() -> None:
    """A market without trading is never chosen."""
    assert [one.symbol for one in choose(MARKETS, ["USDT"], [], 9)] == ["BTC/USDT", "SOL/USDT"]
    assert [one.symbol for one in choose(MARKETS, [], ["ETH/BTC", "OLD"], 9)] == ["ETH/BTC"]
