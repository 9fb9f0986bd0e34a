"""Binance.US spot: the protocol of Binance spot, at addresses and with limits of its own.

Source: Binance.US API documentation, "WebSocket Streams" and "REST API". Microseconds, the event
`serverShutdown` and dump files are not documented for it.
"""

from dataclasses import replace

from candlewax.exchanges.binance import BINANCE
from candlewax.exchanges.binance_markets import market_rules, read_spot_market

# Source: "WebSocket Streams" (5 messages a second with pings and pongs, 1024 streams, 24 hours).
# Minutes without any trade are usual there, so they tell nothing of the connection.
LIVE = replace(BINANCE.live, url="wss://stream.binance.us:9443/stream", stalled_after_s=600)

# Sources: "Market Data Endpoints", section "Old trade lookup" (MARKET_DATA, which needs a key;
# weight 5, at most 1000); "LIMITS" (1200 of weight a minute). Half of it is left to others.
REST = replace(
    BINANCE.rest,
    url="https://api.binance.us",
    requires_key=True,
    usage_limit=("X-MBX-USED-WEIGHT-1M", 900),
)

# Sources: "General endpoints", section "Exchange information"; "Market Data Endpoints", section
# "24hr ticker price change statistics".
MARKETS = market_rules(read_spot_market, "/api/v3/exchangeInfo", "/api/v3/ticker/24hr")

# "Kline/Candlestick data" has weight 1.
BINANCE_US = replace(
    BINANCE,
    id="binance_us",
    live=LIVE,
    rest=REST,
    dump=None,
    daily_files=None,
    candles=BINANCE.candles and replace(BINANCE.candles, cost=1 / 5),
    markets=MARKETS,
)
