"""Choice of markets by the value that they trade in a day."""

from decimal import Decimal

from candlewax.core.instruments import FileContent, Instrument
from candlewax.core.market_choice import choose, plan_changes
from candlewax.exchanges.protocol.markets import ListedMarket, MarketError, MarketStatus


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


def test_market_that_may_be_an_unread_one_is_not_delisted() -> None:
    """Rows are told apart by their texts: names, or both assets; a row without any may be all."""
    names = {"BTC/USD": "BTC/USD", "tETHUSD": "ETH/USD", "SOL-EUR": "SOL/EUR", "GONE": "OLD/USD"}
    listed = {name: Instrument(symbol, symbol[:3], symbol[-3:]) for name, symbol in names.items()}
    content = FileContent({"kraken": listed}, {"kraken": list(names)})
    unread = [
        MarketError("bad_shape", "", ["XXBTZUSD", "XBT/USD"]),
        MarketError("bad_shape", "", ["ETHUSD"]),
        MarketError("bad_shape", "", ["SOL", "EUR", "online"]),
    ]
    listing = [market("ADA/USD", None, None)]
    changes = plan_changes("kraken", content, listing, [], unread=unread, subscribes=False)
    unsure = "may be a market that cannot be read; it stays as it is"
    assert changes.told == [
        f"BTC/USD (BTC/USD) {unsure}",
        f"tETHUSD (ETH/USD) {unsure}",
        f"SOL-EUR (SOL/EUR) {unsure}",
        "GONE (OLD/USD) is delisted",
    ]
    assert changes.subscribe == {
        "GONE": {"symbol": "OLD/USD", "kind": "spot", "status": "delisted"}
    }
    unread.append(MarketError("bad_shape", ""))
    changes = plan_changes("kraken", content, listing, [], unread=unread, subscribes=False)
    assert changes.told[-1] == f"GONE (OLD/USD) {unsure}"
    assert not changes.subscribe
