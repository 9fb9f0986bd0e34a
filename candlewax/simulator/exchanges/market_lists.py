"""Lists of markets of the played exchanges, with tickers of 24 hours.

Sources: Binance Spot API, "Exchange information", "24hr ticker price change statistics"; Binance
USD-M Futures, "Exchange Information"; Kraken API Center, "Get Tradable Asset Pairs", "Get Ticker
Information"; Coinbase Exchange, "Get all known trading pairs".
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.market.market import SECOND_US, Market

DAY_US: Final = 86_400 * SECOND_US

_XBT: Final = {"BTC": "XBT", "DOGE": "XDG"}


def market_list(venue: Venue, path: str) -> str | None:
    """Return the answer to a request for markets or tickers; None if the path asks for neither.

    Refused markets are not listed.
    """
    write = _WRITERS.get((venue.exchange, path))
    markets = [market for name, market in venue.markets.items() if venue.is_known(name)]
    return None if write is None else json.dumps(write(markets), separators=(",", ":"))


def tick(market: Market) -> str:
    """Return the step of a market's prices."""
    return f"{Decimal(1).scaleb(-market.price_decimals):f}"


def price(market: Market) -> Decimal:
    """Return the price of a market at the start."""
    return Decimal(market.price).scaleb(-market.price_decimals)


def volume(market: Market) -> Decimal:
    """Return the quantity that ordinary orders trade in 24 hours."""
    return Decimal(market.lots * DAY_US // market.gap_us).scaleb(-market.lot_decimals)


Markets = list[Market]
Writer = Callable[[Markets], Any]
"""Function that returns an answer, before it is JSON."""


def binance_symbols(markets: Markets, **fields: str) -> Any:  # noqa: ANN401 - JSON may be anything
    """Return the answer of `exchangeInfo`; `fields` are the same for all markets."""
    return {
        "timezone": "UTC",
        "symbols": [
            {
                "symbol": market.native_symbol,
                "status": "TRADING",
                "baseAsset": market.base,
                "quoteAsset": market.quote,
                **fields,
                "filters": [{"filterType": "PRICE_FILTER", "tickSize": tick(market)}],
            }
            for market in markets
        ],
    }


def _usdm_symbols(markets: Markets) -> Any:  # noqa: ANN401
    return binance_symbols(markets, contractType="PERPETUAL", marginAsset="USDT")


def _coinm_symbols(markets: Markets) -> Any:  # noqa: ANN401
    content = binance_symbols(markets, contractType="PERPETUAL", marginAsset="BTC")
    for row in content["symbols"]:
        row["contractStatus"] = row.pop("status")
        row["contractSize"] = 100
    return content


def binance_tickers(markets: Markets) -> Any:  # noqa: ANN401
    """Return the answer of `ticker/24hr`."""
    return [
        {
            "symbol": market.native_symbol,
            "lastPrice": f"{price(market):f}",
            "volume": f"{volume(market):f}",
            "quoteVolume": f"{price(market) * volume(market):f}",
        }
        for market in markets
    ]


def _kraken_pairs(markets: Markets) -> Any:  # noqa: ANN401
    result = {
        _kraken_name(market): {
            "wsname": f"{_XBT.get(market.base, market.base)}/{market.quote}",
            "tick_size": tick(market),
            "status": "online",
        }
        for market in markets
    }
    return {"error": [], "result": result}


def _kraken_tickers(markets: Markets) -> Any:  # noqa: ANN401
    result = {
        _kraken_name(market): {
            "c": [f"{price(market):f}", "1.0"],
            "v": ["0.0", f"{volume(market):f}"],
            "p": ["0.0", f"{price(market):f}"],
        }
        for market in markets
    }
    return {"error": [], "result": result}


def _kraken_name(market: Market) -> str:
    return f"X{_XBT.get(market.base, market.base)}Z{market.quote}"


def _coinbase_products(markets: Markets) -> Any:  # noqa: ANN401
    return [
        {
            "id": market.native_symbol,
            "base_currency": market.base,
            "quote_currency": market.quote,
            "quote_increment": tick(market),
            "status": "online",
            "trading_disabled": False,
        }
        for market in markets
    ]


def _coinbase_stats(markets: Markets) -> Any:  # noqa: ANN401
    return {
        market.native_symbol: {
            "stats_24hour": {"volume": f"{volume(market):f}", "last": f"{price(market):f}"}
        }
        for market in markets
    }


def _bitstamp_markets(markets: Markets) -> Any:  # noqa: ANN401
    return [
        {
            "name": f"{market.base}/{market.quote}",
            "market_symbol": market.native_symbol,
            "base_currency": market.base,
            "counter_currency": market.quote,
            "counter_decimals": market.price_decimals,
            "trading": "Enabled",
            "market_type": "SPOT",
        }
        for market in markets
    ]


def _bitstamp_tickers(markets: Markets) -> Any:  # noqa: ANN401
    return [
        {
            "pair": f"{market.base}/{market.quote}",
            "last": f"{price(market):f}",
            "volume": f"{volume(market):f}",
            "vwap": f"{price(market):f}",
        }
        for market in markets
    ]


def _gemini_symbols(markets: Markets) -> Any:  # noqa: ANN401
    return [
        {
            "symbol": market.native_symbol.upper(),
            "base_currency": market.base,
            "quote_currency": market.quote,
            "quote_increment": float(tick(market)),
            "status": "open",
            "product_type": "spot",
        }
        for market in markets
    ]


def _gemini_prices(markets: Markets) -> Any:  # noqa: ANN401
    return [
        {"pair": market.native_symbol.upper(), "price": f"{price(market):f}"} for market in markets
    ]


_WRITERS: Final[Mapping[tuple[str, str], Writer]] = {
    ("binance", "api/v3/exchangeInfo"): binance_symbols,
    ("binance", "api/v3/ticker/24hr"): binance_tickers,
    ("binance_usdm", "fapi/v1/exchangeInfo"): _usdm_symbols,
    ("binance_usdm", "fapi/v1/ticker/24hr"): binance_tickers,
    ("binance_coinm", "dapi/v1/exchangeInfo"): _coinm_symbols,
    ("binance_coinm", "dapi/v1/ticker/24hr"): binance_tickers,
    ("binance_us", "api/v3/exchangeInfo"): binance_symbols,
    ("binance_us", "api/v3/ticker/24hr"): binance_tickers,
    ("kraken", "0/public/AssetPairs"): _kraken_pairs,
    ("kraken", "0/public/Ticker"): _kraken_tickers,
    ("coinbase", "products"): _coinbase_products,
    ("coinbase", "products/stats"): _coinbase_stats,
    ("bitstamp", "api/v2/markets/"): _bitstamp_markets,
    ("bitstamp", "api/v2/ticker/"): _bitstamp_tickers,
    ("gemini", "v1/symbols/details/all"): _gemini_symbols,
    ("gemini", "v1/pricefeed"): _gemini_prices,
}
"""Writers by exchange and path."""
