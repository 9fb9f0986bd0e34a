"""Lists of markets of Binance, spot and futures alike.

Source: Binance Spot API documentation, "General endpoints", section "Exchange information" (weight
20); "Market Data endpoints", section "24hr ticker price change statistics" (weight 80 for all).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from candlewax.exchanges.protocol.fields import bad_shape
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketListRules,
    MarketStatus,
    parse_amount,
    parse_step,
    read_each,
    require_text,
    rows_by_name,
)
from candlewax.exchanges.protocol.rest import require_list

Row = Mapping[str, Any]
ReadMarket = Callable[[Row, Row], ListedMarket]
"""Function that reads a market of the list, and its ticker, which may be empty."""

STATUSES = {"TRADING": MarketStatus.TRADING, "CLOSE": MarketStatus.DELISTED}
"""Statuses that say whether a market has trades; any other may end."""


def read_tick(row: Row) -> str | None:
    """Return the step of prices: {"filterType":"PRICE_FILTER","tickSize":"0.01000000",...}."""
    filters = rows_by_name(require_list(row.get("filters") or [], "filters"), "filterType")
    return parse_step(filters.get("PRICE_FILTER", {}).get("tickSize"))


def read_spot_market(row: Row, ticker: Row) -> ListedMarket:
    """Read {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",...}."""
    base, quote = require_text(row, "baseAsset"), require_text(row, "quoteAsset")
    return ListedMarket(
        require_text(row, "symbol"),
        f"{base}/{quote}",
        base,
        quote,
        tick=read_tick(row),
        status=STATUSES.get(require_text(row, "status"), MarketStatus.SUSPENDED),
        price=parse_amount(ticker.get("lastPrice")),
        turnover=parse_amount(ticker.get("quoteVolume")),
    )


def parse_markets(read: ReadMarket, answers: Sequence[Any]) -> ListedMarkets:
    """Read the list of markets, {"symbols":[...]}, and the tickers of 24 hours, a list."""
    content, tickers = answers
    if not isinstance(content, dict):
        raise bad_shape("an object with symbols", content)
    ticker_of = rows_by_name(require_list(tickers, "tickers"), "symbol")
    return read_each(
        require_list(content.get("symbols"), "symbols"),
        lambda row: read(row, ticker_of.get(require_text(row, "symbol"), {})),
    )


def market_rules(read: ReadMarket, *paths: str) -> MarketListRules:
    """Return the rules of a list of markets and of their tickers, at two paths."""
    return MarketListRules(paths, partial(parse_markets, read))


MARKETS = market_rules(
    read_spot_market,
    "/api/v3/exchangeInfo?showPermissionSets=false",
    "/api/v3/ticker/24hr?type=MINI",
)
