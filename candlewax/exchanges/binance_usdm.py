"""Binance USD-M futures: perpetuals and dated futures settled in their quote.

Source: Binance Derivatives documentation, "USDS Margined Futures", section
"WebSocket Market Streams". The `trade` stream is sent but not documented there. Values
of its field X in recordings:

- MARKET: an ordinary trade.
- RPI: a trade with a retail price improvement order, since November 2025. It counts. "Aggregate
  Trade Streams" count it among "all the market trades" (field q; nq is without it), and "Old
  Trades Lookup" and "Recent Trades List" return it with isRPITrade among the "trades filled in
  the order book". No recording shows whether klines hold it.
- INSURANCE_FUND, ADL: Binance leaves them out of its own candles and of REST.
- NA: a number without a trade, with price and quantity 0. The number counts as received.

A trade with any other value stays out of candles. It is stored with the value in `conditions`, and
logged.
"""

import re
from collections.abc import Collection
from dataclasses import replace

import polars as pl

from candlewax.exchanges.binance import LIVE as SPOT_LIVE
from candlewax.exchanges.binance import (
    MAPPED,
    SPELLINGS,
    TRADE,
    build_columns,
    build_interpreter,
    build_layouts,
    read_frame,
)
from candlewax.exchanges.binance_markets import STATUSES, Row, market_rules, read_spot_market
from candlewax.exchanges.binance_rest import CANDLES as SPOT_CANDLES
from candlewax.exchanges.binance_rest import (
    DUMP,
    candles_path_from,
    daily_files_of,
    latest_path_from,
    read_response,
    trades_path_from,
)
from candlewax.exchanges.binance_rest import REST as SPOT_REST
from candlewax.exchanges.protocol.dialect import Dialect, Exchange, Split
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    MarketKind,
    MarketStatus,
    require_text,
)
from candlewax.exchanges.protocol.symbols import split_before_quote

ORDINARY = ("MARKET", "RPI")
"""Values of X that count in candles."""

CONDITIONS = frozenset({"INSURANCE_FUND", "ADL", "NA"})
"""Known values of X that do not count in candles."""

USDM = Dialect(
    TRADE,
    build_columns(pl.when(~pl.col("X").is_in(ORDINARY)).then(pl.col("X"))),
    build_interpreter(lambda trade: kind if (kind := trade.get("X")) not in ORDINARY else None),
    MAPPED,
    SPELLINGS,
)

LAYOUTS = build_layouts(
    USDM,
    # Since June 2026, with the kind of contract, 1 for USD-M.
    '{"e":"trade","E":<E>,"T":<T>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"X":<X>,"m":<m>,"st":<st>}',
    '{"e":"trade","E":<E>,"T":<T>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"X":<X>,"m":<m>}',
)

QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "BTC", "ETH", "USD1", "BFUSD")

DATED = re.compile(r"([A-Z0-9]+)_([0-9]{6})")
"""Symbol of a dated future: that of its pair, and its expiry."""


def split_symbol(native_symbol: str, assets: Collection[str]) -> Split | None:
    """Split a symbol of a perpetual or a dated future.

    `BTCUSDT` is the perpetual BTC/USDT:USDT, `BTCUSDT_250627` the future BTC/USDT:USDT-250627.
    """
    dated = DATED.fullmatch(native_symbol)
    pair = split_before_quote(dated[1] if dated else native_symbol, QUOTES, assets)
    if pair is None:
        return None
    base, quote = pair
    expiry = f"-{dated[2]}" if dated else ""
    return f"{base}/{quote}:{quote}{expiry}", base, quote


# Sources: Binance Derivatives documentation, "USDS Margined Futures", sections "Websocket
# Market Streams" (24 hours, 10 messages a second) and "Important WebSocket Change Notice"
# (the paths /public and /market; the address without one was to end in April 2026). The
# notice does not name the trade stream: clients receive it on /public, beside the book
# ticker, and nothing on /market. Messages, answers and limits are those of spot otherwise.
LIVE = replace(SPOT_LIVE, url="wss://fstream.binance.com/public/stream", messages_per_s=5)

# Sources: the same, "Market Data", sections "Old Trades Lookup" (MARKET_DATA, which needs a
# key; weight 20, at most 500; trades of the order book only, so none of the insurance fund
# and no ADL; of the last months only) and "Recent Trades List" (no key, at most 1000);
# "General Info", section "LIMITS" (2400 of weight a minute).
REST = replace(
    SPOT_REST,
    url="https://fapi.binance.com",
    page_rows=500,
    requests_per_s=1,
    burst=5,
    trades_path=trades_path_from("/fapi/v1/historicalTrades"),
    latest_path=latest_path_from("/fapi/v1/trades"),
    requires_key=True,
    usage_limit=("X-MBX-USED-WEIGHT-1M", 1800),
)

# Source: the same, "Kline/Candlestick Data" (weight 1 up to 99 candles, of 20 for old trades).
CANDLES = replace(
    SPOT_CANDLES,
    path=candles_path_from("/fapi/v1/klines"),
    page_minutes=99,
    cost=1 / 20,
    quote_decimals=None,
)

DATED_STATUSES = {
    **STATUSES,
    "DELIVERED": MarketStatus.DELISTED,
    "DELIVERING": MarketStatus.DELISTED,
}


def read_market(row: Row, ticker: Row, status: str = "status") -> ListedMarket:
    """Read {"symbol":"BTCUSDT","contractType":"PERPETUAL","marginAsset":"USDT",...}.

    `status`: the field of the status, which differs between the markets.
    """
    market = read_spot_market({**row, "status": require_text(row, status)}, ticker)
    dated = DATED.fullmatch(market.native_symbol)
    expiry = f"-{dated[2]}" if dated else ""
    return replace(
        market,
        symbol=f"{market.symbol}:{require_text(row, 'marginAsset')}{expiry}",
        kind=MarketKind.FUTURE if dated else MarketKind.PERPETUAL,
        status=DATED_STATUSES.get(row[status], MarketStatus.SUSPENDED),
    )


# Sources: the same, "Exchange Information" (weight 1) and "24hr Ticker Price Change Statistics"
# (weight 40 for all markets); "Public Endpoints Info", section "ENUM definitions", for statuses.
MARKETS = market_rules(read_market, "/fapi/v1/exchangeInfo", "/fapi/v1/ticker/24hr")

BINANCE_USDM = Exchange(
    "binance_usdm",
    LAYOUTS,
    lambda frame: read_frame(USDM, frame),
    split_symbol,
    LIVE,
    REST,
    read_response,
    DUMP,
    quotes=QUOTES,
    known_conditions=CONDITIONS,
    candles=CANDLES,
    daily_files=daily_files_of("futures/um"),
    markets=MARKETS,
)
