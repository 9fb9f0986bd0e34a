"""Binance USD-M futures: perpetuals and dated futures settled in their quote.

Source: Binance Derivatives documentation, "USDS Margined Futures", section
"WebSocket Market Streams". The `trade` stream is not documented there, yet sent;
its field X is seen in recordings:

- MARKET: an ordinary trade.
- RPI: a trade with a retail price improvement order, since November 2025. It counts. "Aggregate
  Trade Streams" count it among "all the market trades" (field q; nq is without it), and "Old
  Trades Lookup" and "Recent Trades List" return it with isRPITrade among the "trades filled in
  the order book". No recording shows whether klines hold it.
- INSURANCE_FUND, ADL: Binance leaves them out of its own candles and of REST.
- NA: a number without a trade, with price and quantity 0. Its number is used up: not missing.

Anything else is kept out of candles, stored with its value in `conditions`, and told.
"""

import re
from collections.abc import Collection
from dataclasses import replace

import polars as pl

from candlewax.exchanges.binance import LIVE as SPOT_LIVE
from candlewax.exchanges.binance import MAPPED, SPELLINGS, TRADE, columns, layouts, meaning, reader
from candlewax.exchanges.binance_rest import DUMP, answer, from_number, newest
from candlewax.exchanges.binance_rest import REST as SPOT_REST
from candlewax.exchanges.protocol.dialect import Dialect, Exchange, Split
from candlewax.exchanges.protocol.symbols import split_before_quote

ORDINARY = ("MARKET", "RPI")
"""Values of X that count in candles."""

CONDITIONS = frozenset({"INSURANCE_FUND", "ADL", "NA"})
"""Values of X that are known not to."""

USDM = Dialect(
    TRADE,
    columns(pl.when(~pl.col("X").is_in(ORDINARY)).then(pl.col("X"))),
    meaning(lambda trade: kind if (kind := trade.get("X")) not in ORDINARY else None),
    MAPPED,
    SPELLINGS,
)

LAYOUTS = layouts(
    USDM,
    # Since June 2026 with the kind of contract, 1 for USD-M.
    '{"e":"trade","E":<E>,"T":<T>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"X":<X>,"m":<m>,"st":<st>}',
    '{"e":"trade","E":<E>,"T":<T>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"X":<X>,"m":<m>}',
)

QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "BTC", "ETH", "USD1", "BFUSD")

_DATED = re.compile(r"([A-Z0-9]+)_([0-9]{6})")


def split(native: str, assets: Collection[str]) -> Split | None:
    """`BTCUSDT` is the perpetual BTC/USDT:USDT, `BTCUSDT_250627` the future
    BTC/USDT:USDT-250627.
    """
    dated = _DATED.fullmatch(native)
    pair = split_before_quote(dated[1] if dated else native, QUOTES, assets)
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
LIVE = replace(SPOT_LIVE, url="wss://fstream.binance.com/public/stream", messages_s=5)

# Sources: the same, "Market Data", sections "Old Trades Lookup" (MARKET_DATA, which needs a
# key; weight 20, at most 500; trades of the order book only, so none of the insurance fund
# and no ADL; of the last months only) and "Recent Trades List" (no key, at most 1000);
# "General Info", section "LIMITS" (2400 of weight a minute).
REST = replace(
    SPOT_REST,
    url="https://fapi.binance.com",
    page=500,
    requests_s=1,
    burst=5,
    target=from_number("/fapi/v1/historicalTrades"),
    newest=newest("/fapi/v1/trades"),
    key_needed=True,
    used=("X-MBX-USED-WEIGHT-1M", 1800),
)

BINANCE_USDM = Exchange(
    "binance_usdm",
    LAYOUTS,
    lambda frame: reader(USDM, frame),
    split,
    LIVE,
    REST,
    answer,
    DUMP,
    quotes=QUOTES,
    known_conditions=CONDITIONS,
)
