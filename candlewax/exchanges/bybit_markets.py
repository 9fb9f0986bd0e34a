"""Markets of Bybit: their symbols and their lists over REST.

Source: Bybit API documentation (v5), "Enums Definitions", `symbol`; "Get Instruments Info".
"""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import Any, Final

from candlewax.exchanges.bybit_rest import require_rows
from candlewax.exchanges.protocol.dialect import Split
from candlewax.exchanges.protocol.fields import bad_shape
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketError,
    MarketKind,
    MarketListRules,
    market_status,
    parse_amount,
    parse_step,
    read_each,
    require_text,
    rows_by_name,
)
from candlewax.exchanges.protocol.symbols import split_before_quote

SPOT_QUOTES: Final = (
    "USDT", "USDC", "USDE", "USD1", "EUR", "BTC", "ETH", "DAI", "BRL", "TRY", "PLN", "MNT", "SOL",
)  # fmt: skip
LINEAR_QUOTES: Final = ("USDT", "USDC", "PERP")
"""Ends of linear symbols: a perpetual in USDC is `BTCPERP`."""

_MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
_DATED: Final = re.compile(rf"([A-Z0-9]+)-([0-9]{{1,2}}(?:{_MONTHS.replace(' ', '|')})[0-9]{{2}})")


def split_spot(native_symbol: str, assets: Collection[str]) -> Split | None:
    """Split `BTCUSDT` into BTC/USDT."""
    pair = split_before_quote(native_symbol, SPOT_QUOTES, assets)
    return pair and ("/".join(pair), *pair)


def split_linear(native_symbol: str, assets: Collection[str]) -> Split | None:
    """Split a symbol of a perpetual or a dated future.

    `BTCUSDT` is BTC/USDT:USDT, `BTCPERP` BTC/USDC:USDC, `BTCUSDT-21FEB25` BTC/USDT:USDT-250221,
    `BTC-24MAR23` BTC/USDC:USDC-230324.
    """
    dated = _DATED.fullmatch(native_symbol)
    name, expiry = (dated[1], _expiry(dated[2])) if dated else (native_symbol, "")
    pair = split_before_quote(name, LINEAR_QUOTES, assets)
    if pair is None and dated and expiry:
        pair = name, "USDC"
    if pair is None or (dated and not expiry):
        return None
    base, quote = pair[0], pair[1].replace("PERP", "USDC")
    return f"{base}/{quote}:{quote}{expiry}", base, quote


def _expiry(day: str) -> str:
    """Return `-250221` of `21FEB25`, or nothing if there is no such day."""
    number, month, year = day[:-5], day[-5:-2], day[-2:]
    try:
        return f"{date(2000 + int(year), _MONTHS.split().index(month) + 1, int(number)):-%y%m%d}"
    except ValueError:
        return ""


Splitter = Callable[[str, Collection[str]], Split | None]


def build_markets(category: str, split: Splitter) -> MarketListRules:
    """Return the rules of the list of markets of a category, and of its tickers.

    {"result":{"list":[{"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading",
     "baseCoin":"BTC","quoteCoin":"USDT","settleCoin":"USDT","priceFilter":{"tickSize":"0.10"}}],
     "nextPageCursor":""}}
    {"result":{"list":[{"symbol":"BTCUSDT","lastPrice":"20533.13","turnover24h":"243765620.65"}]}}
    """

    def parse(answers: Sequence[Any]) -> ListedMarkets:
        rows, tickers = (require_rows(answer, "markets") for answer in answers)
        days = rows_by_name(tickers, "symbol")
        markets = read_each(rows, lambda row: _read_market(row, days, split))
        if cursor := answers[0]["result"].get("nextPageCursor"):
            # A second page is not requested, as a page holds more markets than there are.
            error = bad_shape("a list of one page", cursor)
            markets.append(MarketError(error.reason, error.detail))
        return markets

    paths = f"instruments-info?category={category}&limit=1000", f"tickers?category={category}"
    return MarketListRules(tuple(f"/v5/market/{path}" for path in paths), parse)


def _read_market(row: Any, days: dict[Any, Any], split: Splitter) -> ListedMarket:  # noqa: ANN401
    native_symbol, base, quote, status = (
        require_text(row, name) for name in ("symbol", "baseCoin", "quoteCoin", "status")
    )
    found = split(native_symbol, (base, quote))
    if found is None or found[1:] != (base, quote):
        raise bad_shape(f"a symbol of {base} and {quote}", native_symbol)
    contract, prices = row.get("contractType", ""), row.get("priceFilter")
    kind = MarketKind.FUTURE if contract == "LinearFutures" else MarketKind.PERPETUAL
    day = days.get(native_symbol, {})
    return ListedMarket(
        native_symbol,
        *found,
        kind=kind if contract else MarketKind.SPOT,
        tick=parse_step(prices.get("tickSize")) if isinstance(prices, dict) else None,
        status=market_status(is_trading=status == "Trading"),
        price=parse_amount(day.get("lastPrice")),
        turnover=parse_amount(day.get("turnover24h")),
    )
