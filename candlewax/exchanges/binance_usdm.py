"""Binance USD-M futures: perpetuals and dated futures settled in their quote.

Source: Binance Derivatives documentation, "USDS Margined Futures", section
"WebSocket Market Streams". The `trade` stream is not documented there, yet sent;
its field X is seen in recordings: MARKET for an ordinary trade, otherwise
INSURANCE_FUND, ADL or NA, and Binance leaves those out of its own candles.
"""

import re

import polars as pl

from candlewax.exchanges._layout import Dialect, Exchange, Split
from candlewax.exchanges._symbols import by_longest_quote
from candlewax.exchanges.binance import MAPPED, TRADE, columns, layouts, reader

ORDINARY = "MARKET"

USDM = Dialect(
    TRADE,
    columns(pl.when(pl.col("X") != ORDINARY).then(pl.col("X"))),
    MAPPED,
)

LAYOUTS = layouts(
    USDM,
    '{"e":"trade","E":<E>,"T":<T>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"X":<X>,"m":<m>}',
)

QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "BTC", "ETH", "USD1", "BFUSD")

_DATED = re.compile(r"([A-Z0-9]+)_([0-9]{6})")


def split(native: str) -> Split | None:
    """`BTCUSDT` is the perpetual BTC/USDT:USDT, `BTCUSDT_250627` the future
    BTC/USDT:USDT-250627.
    """
    dated = _DATED.fullmatch(native)
    pair = by_longest_quote(dated[1] if dated else native, QUOTES)
    if pair is None:
        return None
    base, quote = pair
    expiry = f"-{dated[2]}" if dated else ""
    return f"{base}/{quote}:{quote}{expiry}", base, quote


BINANCE_USDM = Exchange("binance_usdm", LAYOUTS, lambda frame: reader(USDM, frame), split)
