"""Candles, bars and trades as frames of Polars or pandas.

    from candlewax import client

    client.markets()
    client.candles("BTC/USDT", "1h", exchange="binance", begin="2026-02-27", closed=True)
    client.bars("BTC/USDT", "tick 1000", exchange="binance", begin="2026-02-27")
    client.trades("BTC/USDT", exchange="binance", begin="2026-02-27T10:00:00Z")

Each call reads the database of the settings, or the one that `database` names: a directory, or the
address of a ClickHouse server, of `candlewax up` or of `candlewax serve`. Archived rows are read
like the others. Times are UTC; amounts are exact decimals unless `numbers` is `"float"`.
"""

from candlewax.client.frames import bars, candles, markets, trades
from candlewax.client.request import RequestError

__all__ = ["RequestError", "bars", "candles", "markets", "trades"]
