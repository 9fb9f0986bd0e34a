"""Products of Kraken Futures, and their list.

Source: Kraken API Center, Futures REST, "Get instruments" and "Get tickers".
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from candlewax.exchanges.kraken_markets import ALIASES
from candlewax.exchanges.protocol.dialect import Split
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketKind,
    MarketListRules,
    market_status,
    parse_amount,
    parse_step,
    read_each,
    require_split,
    require_text,
)
from candlewax.exchanges.protocol.rest import require_list

_PRODUCT = re.compile(r"([PF])([IF])_([A-Z0-9]+)USD(?:_([0-9]{6}))?")

_INDEX_PREFIXES = ("IN_", "RR_")
"""Begins of names of indexes and reference rates, which are not traded."""


def split_symbol(native_symbol: str, _: Collection[str]) -> Split | None:
    """Split a product into base and quote, and name what it is settled in.

    `PF_XBTUSD` is the perpetual BTC/USD:USD, `PI_XBTUSD` the inverse one BTC/USD:BTC, and
    `FI_XBTUSD_260925` the inverse future BTC/USD:BTC-260925.
    """
    product = _PRODUCT.fullmatch(native_symbol)
    if product is None or (product[1] == "F") != (product[4] is not None):
        return None
    base = ALIASES.get(product[3], product[3])
    settled = base if product[2] == "I" else "USD"
    expiry = f"-{product[4]}" if product[4] else ""
    return f"{base}/USD:{settled}{expiry}", base, "USD"


def parse_markets(answers: Sequence[Any]) -> ListedMarkets:
    """Read the products, and the tickers of all of them. Indexes are left out.

    {"instruments":[{"symbol":"PF_XBTUSD","type":"flexible_futures","tradeable":true,"tickSize":1,
     "contractSize":1}]}
    {"tickers":[{"symbol":"PF_XBTUSD","last":83999.5,"volumeQuote":1234567.8}]}
    """
    products, tickers = (
        require_list(answer.get(name) if isinstance(answer, dict) else answer, name)
        for answer, name in zip(answers, ("instruments", "tickers"), strict=True)
    )
    by_symbol = {
        str(ticker.get("symbol")).upper(): ticker for ticker in tickers if isinstance(ticker, dict)
    }
    rows = [
        row
        for row in products
        if not isinstance(row, dict)
        or not str(row.get("symbol")).upper().startswith(_INDEX_PREFIXES)
    ]
    return read_each(rows, lambda row: _read(row, by_symbol))


def _read(row: Any, tickers: Mapping[str, Mapping[str, Any]]) -> ListedMarket:  # noqa: ANN401
    native_symbol = require_text(row, "symbol").upper()
    expected = "a product such as PF_XBTUSD or FI_XBTUSD_260925"
    split = require_split(split_symbol(native_symbol, ()), expected, native_symbol)
    ticker = tickers.get(native_symbol, {})
    is_inverse = native_symbol[1] == "I"
    return ListedMarket(
        native_symbol,
        *split,
        kind=MarketKind.PERPETUAL if native_symbol[0] == "P" else MarketKind.FUTURE,
        contract_size=parse_step(row.get("contractSize")) if is_inverse else None,
        contract_unit="USD" if is_inverse else None,
        tick=parse_step(row.get("tickSize")),
        status=market_status(
            is_trading=row.get("tradeable") is True, is_delisted=row.get("isExpired") is True
        ),
        price=parse_amount(ticker.get("last")),
        turnover=parse_amount(ticker.get("volumeQuote")),
    )


MARKETS = MarketListRules(
    ("/derivatives/api/v3/instruments", "/derivatives/api/v3/tickers"), parse_markets
)
