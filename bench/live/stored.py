"""Table of a million candles, stored before the measurement."""

from pathlib import Path
from typing import Final

from candlewax.clickhouse.client import open_tables
from candlewax.core.candles.combine import TIMEFRAMES

COUNT: Final = 1_000_000
MARKETS: Final = 60
EXCHANGE: Final = "binance_usdm"
SYMBOLS: Final = tuple(f"S{number}/USDT" for number in range(MARKETS))
BEGIN: Final = 1_577_836_800
"""Start of the first candle: 2020-01-01, in seconds since 1970."""

EACH: Final = {
    timeframe: (COUNT - 5 * 90_000 if timeframe == "1m" else 90_000) // MARKETS
    for timeframe in TIMEFRAMES
}
"""Candles of each series; the rest of the million is left out."""

# Digits like those of real candles, so that they take as much space.
_FILL: Final = """
WITH cityHash64({number:Int8}, number) AS chance,
    toDecimal128(60000 + chance % 1000000 / 100, 12) AS price,
    toDecimal128((chance % 99999999) / 100000, 12) AS amount
INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, open, high, low, close, volume,
    quote_volume, buy_volume, buy_quote_volume, trade_count, open_time, close_time,
    first_sequence, last_sequence, closed, version, status)
SELECT {number:Int8}, {exchange:String}, concat('S', toString(number % {markets:UInt32}), '/USDT'),
    toDateTime({begin:UInt32} + {length:UInt32} * intDiv(number, {markets:UInt32}), 'UTC') AS start,
    price, price + chance % 97, price - chance % 89, price + chance % 13, amount, amount * 60000,
    amount / 2, amount * 30000, 100 + chance % 900 AS trades,
    toDateTime64(start, 6) + toIntervalMicrosecond(chance % 999983),
    toDateTime64(start, 6) + toIntervalMicrosecond(58000000 + chance % 999979),
    1000000000 + number * 1000, 1000000000 + number * 1000 + trades - 1, true, 2 * trades + 1,
    'complete'
FROM numbers({count:UInt32})
"""


def fill(folder: Path) -> int:
    """Store the candles in a directory; return how many there are."""
    database = open_tables(folder, "market")
    for timeframe, (number, length) in TIMEFRAMES.items():
        values = {"number": number, "length": length // 1_000_000, "begin": BEGIN}
        values |= {"markets": MARKETS, "count": EACH[timeframe] * MARKETS}
        database.client.command(_FILL, {**values, "exchange": EXCHANGE})
    database.close()
    return MARKETS * sum(EACH.values())
