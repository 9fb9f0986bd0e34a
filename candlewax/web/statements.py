"""Statements of the API on the tables."""

from typing import Final

from candlewax.web import encode

SYMBOLS: Final = """
SELECT exchange, symbol, sum(trade_count) AS trades,
    toDateTime64(min(open_time), 6, 'UTC') AS first_trade,
    toDateTime64(max(close_time), 6, 'UTC') AS last_trade
FROM ohlcv FINAL
WHERE timeframe = '1d'
GROUP BY exchange, symbol
ORDER BY exchange, symbol
"""

CONTRACTS: Final = """
SELECT exchange, symbol, any(i.contract_size) AS contract_size,
    any(i.contract_unit) AS contract_unit
FROM instruments AS i FINAL
WHERE i.contract_size IS NOT NULL
GROUP BY exchange, symbol
"""

MARKET_FACTS: Final = """
SELECT symbol, argMax(i.tick, i.known_at) AS tick, argMax(toString(i.status), i.known_at) AS status
FROM instruments AS i FINAL
WHERE exchange = {exchange:String}
GROUP BY symbol
"""

DAYS: Final = """
SELECT exchange, symbol, open, close, volume, trade_count,
    toDateTime64(ohlcv.close_time, 6, 'UTC') AS close_time
FROM ohlcv FINAL
WHERE timeframe = '1d'
ORDER BY exchange, symbol, window_start DESC
LIMIT 1 BY exchange, symbol
"""

LAST_DAY: Final = """
SELECT exchange, symbol, argMin(minute.open, minute.window_start) AS open,
    argMax(minute.close, minute.window_start) AS close, max(minute.high) AS high,
    min(minute.low) AS low, sum(minute.volume) AS volume,
    sum(minute.quote_volume) AS quote_volume, sum(minute.trade_count) AS trade_count,
    sum(minute.buy_volume) AS buy_volume, sum(minute.buy_quote_volume) AS buy_quote_volume,
    argMin(minute.first_sequence, minute.window_start) AS first_sequence,
    argMax(minute.last_sequence, minute.window_start) AS last_sequence,
    sum(minute.missing) AS missing, sum(minute.feed_down_ms) AS feed_down_ms,
    toDateTime64(max(minute.close_time), 6, 'UTC') AS time
FROM ohlcv AS minute FINAL
WHERE timeframe = '1m' AND minute.window_start >= {earliest:DateTime('UTC')}
    AND minute.window_start >= transform(exchange::String, {exchanges:Array(String)},
        {begins:Array(DateTime('UTC'))}, toDateTime('2105-01-01', 'UTC'))
GROUP BY exchange, symbol
"""

MINUTE_OF: Final = """
SELECT toDateTime64(max(minute.window_start), 6, 'UTC') AS begin
FROM ohlcv AS minute
WHERE timeframe = '1m' AND exchange = {exchange:String} AND symbol = {symbol:String}
    AND minute.first_sequence BETWEEN 1 AND {number:UInt64}
"""
"""Start of the last minute that has a trade of a number, or of a lower one; 1970 for none."""

GAPS: Final = """
SELECT exchange, symbol, first_sequence, last_sequence, any(count) AS count,
    min(missing) AS missing,
    toDateTime64(min(before), 6, 'UTC') AS before, toDateTime64(max(after), 6, 'UTC') AS after,
    toDateTime64(min(detected_at), 6, 'UTC') AS detected_at, toString(max(state)) AS state,
    max(attempts) AS attempts, anyLast(reason) AS reason, numbering
FROM gaps AS gap
WHERE exchange IN {exchanges:Array(String)}
    AND (empty({symbols:Array(String)}) OR has({symbols:Array(String)}, symbol::String))
GROUP BY exchange, symbol, first_sequence, last_sequence, numbering
HAVING max(gap.after) >= {begin:DateTime64(6, 'UTC')}
    AND min(gap.before) < {end:DateTime64(6, 'UTC')}
    AND (empty({states:Array(String)}) OR has({states:Array(String)}, toString(max(gap.state))))
ORDER BY before, exchange, symbol, first_sequence, numbering
LIMIT {limit:UInt32}
"""

FEEDS: Final = """
SELECT exchange, connection, toInt64(toUnixTimestamp64Micro(max(received_at))) AS received_us,
    countIf(inserted_at >= now64(6) - INTERVAL 10 SECOND) AS new_frames,
    toUInt64(sumIf(bronze_frames.trades - duplicates,
        inserted_at >= now64(6) - INTERVAL 10 SECOND)) AS new_trades,
    count() AS frames, toUInt64(sum(bronze_frames.trades - duplicates)) AS trades,
    argMaxIf(frame, received_at, kind = 'control' AND startsWith(frame, '{"candlewax":')) AS event
FROM bronze_frames
WHERE received_at >= now64(6) - INTERVAL 10 MINUTE
    -- REST and dump files are no feed that could stall.
    AND NOT startsWith(connection, 'rest/') AND NOT startsWith(connection, 'dump/')
GROUP BY exchange, connection
ORDER BY exchange, connection
"""

WAITS: Final = """
SELECT quantilesExact(0.5, 0.95, 0.99)(
    toFloat64(toUnixTimestamp64Micro(inserted_at) - toUnixTimestamp64Micro(received_at)) / 1000
) AS waits, count() AS trades
FROM silver_trades
WHERE timestamp >= now64(6) - INTERVAL 1 MINUTE AND received_at >= now64(6) - INTERVAL 1 MINUTE
"""


CROSS_CHECK: Final = """
SELECT count() AS exchanges, toDateTime64(min(checked_at), 3, 'UTC') AS oldest,
    sum(candles), sum(mismatches), sum(missing_in_gold), sum(missing_in_check)
FROM cross_checks FINAL
WHERE checked_at >= now64(3) - INTERVAL 1 DAY
"""


def _column_sql(name: str) -> str:
    if name == "window_start":
        return "toDateTime64(ohlcv.window_start, 0, 'UTC') AS window_start"
    if name in {"open_time", "close_time"}:
        return f"toDateTime64(ohlcv.{name}, 6, 'UTC') AS {name}"
    if name == "status":
        return "toString(ohlcv.status) AS status"
    if name == "vwap":
        return "toDecimal128(divideDecimal(ohlcv.quote_volume, ohlcv.volume, 12), 12) AS vwap"
    return f"ohlcv.{name} AS {name}"


CANDLE: Final = ", ".join(map(_column_sql, encode.CANDLE))

CHANGED: Final = f"""
SELECT toString(ohlcv.timeframe) AS timeframe, exchange, symbol, {CANDLE}
FROM ohlcv
WHERE updated_at >= now64(6) - toIntervalMillisecond({{span:UInt64}})
ORDER BY version DESC, updated_at DESC
LIMIT 1 BY ohlcv.timeframe, exchange, symbol, ohlcv.window_start
LIMIT {{limit:UInt32}}
"""  # noqa: S608 - the columns are constants
