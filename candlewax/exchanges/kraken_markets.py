"""List of markets of Kraken spot.

Source: Kraken API Center, "Get Tradable Asset Pairs" (wsname is the name of WebSocket v1; v2 has
the unified codes of assets) and "Get Ticker Information" (all pairs if none is named).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from candlewax.exchanges.protocol.fields import bad_shape
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketListRules,
    MarketStatus,
    multiply,
    parse_amount,
    parse_step,
    read_each,
    require_text,
)

ALIASES = {"XBT": "BTC", "XDG": "DOGE"}
"""Unified codes of assets that Kraken names otherwise."""


_STATUSES = {"online": MarketStatus.TRADING}


def parse_markets(answers: Sequence[Any]) -> ListedMarkets:
    """Read the pairs and their tickers, which have the volume (v) and the mean price (p) of 24
    hours behind those of today.

    {"error":[],"result":{"XXBTZUSD":{"wsname":"XBT/USD","tick_size":"0.1","status":"online"}}}
    {"error":[],"result":{"XXBTZUSD":{"c":["71240.5","0.1"],"v":["812.1","1893.2"],
     "p":["71100.1","71050.2"]}}}
    """
    pairs, tickers = (_require_result(content) for content in answers)

    def read(item: tuple[str, Any]) -> ListedMarket:
        name, row = item
        base, slash, quote = require_text(row, "wsname").partition("/")
        if not (base and slash and quote):
            raise bad_shape("a wsname with a slash", row["wsname"])
        base, quote = ALIASES.get(base, base), ALIASES.get(quote, quote)
        price, volume, mean = (
            _entry(tickers.get(name), *place) for place in (("c", 0), ("v", 1), ("p", 1))
        )
        return ListedMarket(
            f"{base}/{quote}",
            f"{base}/{quote}",
            base,
            quote,
            tick=parse_step(row.get("tick_size")),
            # Any other status, such as cancel_only, may end.
            status=_STATUSES.get(require_text(row, "status"), MarketStatus.SUSPENDED),
            price=price,
            turnover=multiply(mean, volume),
        )

    return read_each(pairs.items(), read)


def _entry(ticker: Any, name: str, index: int) -> Decimal | None:  # noqa: ANN401 - JSON may be anything
    values = ticker.get(name) if isinstance(ticker, dict) else None
    return parse_amount(values[index]) if isinstance(values, list) and len(values) > index else None


def _require_result(content: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON may be anything
    result = content.get("result") if isinstance(content, dict) else None
    if not isinstance(result, dict):
        raise bad_shape("an object with a result", content)
    return result


MARKETS = MarketListRules(("/0/public/AssetPairs", "/0/public/Ticker"), parse_markets)
