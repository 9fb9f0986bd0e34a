"""Binance COIN-M futures: perpetuals and dated futures settled in their base.

Quantities are contracts of a fixed value in the quote: 100 USD for BTC, 10 USD for others, as the
exchange's list of markets tells. Volumes of Binance's own candles are contracts too.

Source: Binance Derivatives documentation, "COIN Margined Futures", section "WebSocket Market
Streams". The `trade` stream is sent but not documented there. Its frames, and the values of their
field X, are those of USD-M futures; frames of 2026 have no field `st` yet, those of USD-M have one.
"""

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Any

from candlewax.exchanges.binance_markets import Row, market_rules
from candlewax.exchanges.binance_rest import ANSWER as SPOT_ANSWER
from candlewax.exchanges.binance_rest import (
    CANDLE_PLACES,
    candles_path_from,
    daily_files_of,
    latest_path_from,
    page_parser,
    response_reader,
    trades_path_from,
)
from candlewax.exchanges.binance_usdm import BINANCE_USDM, DATED, read_market
from candlewax.exchanges.binance_usdm import CANDLES as USDM_CANDLES
from candlewax.exchanges.binance_usdm import REST as USDM_REST
from candlewax.exchanges.protocol.dialect import DumpRules, Split
from candlewax.exchanges.protocol.fields import BOOLEAN, INTEGER, TEXT, Field
from candlewax.exchanges.protocol.markets import ListedMarket, parse_amount, parse_step
from candlewax.exchanges.protocol.symbols import split_before_quote
from candlewax.exchanges.protocol.venue_candles import VenueCandle, read_candles

QUOTES = ("USD",)

_PERPETUAL = "_PERP"


def split_symbol(native_symbol: str, assets: Collection[str]) -> Split | None:
    """Split a symbol of a perpetual or a dated future.

    `BTCUSD_PERP` is the perpetual BTC/USD:BTC, `BTCUSD_261225` the future BTC/USD:BTC-261225.
    """
    dated = DATED.fullmatch(native_symbol)
    if dated is None and not native_symbol.endswith(_PERPETUAL):
        return None
    name = dated[1] if dated else native_symbol.removesuffix(_PERPETUAL)
    pair = split_before_quote(name, QUOTES, assets)
    if pair is None:
        return None
    base, quote = pair
    expiry = f"-{dated[2]}" if dated else ""
    return f"{base}/{quote}:{base}{expiry}", base, quote


ROW = {
    "id": Field(INTEGER),
    "price": Field(TEXT),
    "qty": Field(TEXT),
    "baseQty": Field(TEXT),
    "time": Field(INTEGER),
    "isBuyerMaker": Field(BOOLEAN),
}
"""A trade of REST and of dump files; qty in contracts, baseQty the base that these are worth."""

ANSWER = replace(SPOT_ANSWER, shape=ROW)

# Source: "COIN Margined Futures", section "WebSocket Market Streams" (24 hours, 10 messages a
# second, 200 streams). Unlike USD-M, the address has no path for a kind of streams: the notice on
# the integration of both names none, and clients use this one.
LIVE = replace(
    BINANCE_USDM.live, url="wss://dstream.binance.com/stream", symbols_per_connection=100
)

# Sources: the same, "Market Data", sections "Old Trades Lookup" (needs a key; weight 20, at most
# 500) and "Recent Trades List" (no key, at most 1000); "Important Notice: COIN-M / USDS-M
# Architecture Integration" (since June 2026 both share the weight of an address). So this uses a
# quarter of 2400 a minute, and USD-M half of it.
REST = replace(
    USDM_REST,
    url="https://dapi.binance.com",
    requests_per_s=0.5,
    trades_path=trades_path_from("/dapi/v1/historicalTrades"),
    latest_path=latest_path_from("/dapi/v1/trades"),
    parse_page=page_parser(ROW),
)

_PLACES = {name: place for name, place in CANDLE_PLACES.items() if "quote" not in name}


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read klines, whose volumes are contracts, with the base in place of values in the quote."""
    return read_candles(content, _PLACES, units_per_s=1000)


# Source: the same, "Kline/Candlestick Data" (weight 1 up to 99 candles; at most 200 days).
CANDLES = replace(USDM_CANDLES, path=candles_path_from("/dapi/v1/klines"), parse=parse_candles)


def read_contract(row: Row, ticker: Row) -> ListedMarket:
    """Read {"symbol":"BTCUSD_PERP","contractStatus":"TRADING","contractSize":100,...}."""
    market = read_market(row, ticker, "contractStatus")
    size, contracts = parse_step(row.get("contractSize")), parse_amount(ticker.get("volume"))
    return replace(
        market,
        contract_size=size,
        contract_unit=market.quote if size else None,
        turnover=contracts * Decimal(size) if size and contracts is not None else None,
    )


# Sources: the same, "Exchange Information" and "24hr Ticker Price Change Statistics".
MARKETS = market_rules(read_contract, "/dapi/v1/exchangeInfo", "/dapi/v1/ticker/24hr")

BINANCE_COINM = replace(
    BINANCE_USDM,
    id="binance_coinm",
    split_symbol=split_symbol,
    live=LIVE,
    rest=REST,
    read_response=response_reader(ANSWER),
    # Lines such as 7857135,19100.5,1,0.00523547,1607294296479,true below a header.
    dump=DumpRules(ANSWER, header="id"),
    # Like other klines of this exchange, those of its files have the base in place of the quote.
    daily_files=daily_files_of("futures/cm", CANDLE_PLACES.keys() - _PLACES.keys()),
    quotes=QUOTES,
    candles=CANDLES,
    markets=MARKETS,
    contract_kinds=frozenset({"perpetual"}),
)
