"""Queries for the state of a shard."""

from typing import Final

from candlewax.clickhouse.state.gap_reader import OVERLAPS

BUCKET: Final = 1024  # sequence numbers grouped in one row

# Condition on the stored trades that count: all, or those before the end of each source.
CUT: Final = """({whole:Bool} OR source_offset < transform(
        concat(source, ':', toString(source_partition)),
        {places:Array(String)}, {ends:Array(UInt64)}, toUInt64(0)))"""

SOURCE_ENDS: Final = """
SELECT concat(source, ':', toString(source_partition)) AS place, max(source_offset) + 1 AS end
FROM silver_trades
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
GROUP BY place
"""

COUNT: Final = f"""
SELECT count() AS rows FROM silver_trades WHERE exchange = {{exchange:String}}
    AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}}
    AND {CUT}
"""

BUCKETS: Final = f"""
SELECT symbol, numbering, intDiv(sequence, {{bucket:UInt64}}) AS bucket,
    min(sequence) AS first, max(sequence) AS last, count() AS trades,
    toUnixTimestamp64Micro(argMin(timestamp, sequence)) AS begin,
    toUnixTimestamp64Micro(argMax(timestamp, sequence)) AS end,
    toUnixTimestamp64Micro(min(timestamp)) AS earliest,
    toUnixTimestamp64Micro(max(timestamp)) AS latest
FROM silver_trades FINAL
WHERE exchange = {{exchange:String}}
    AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}}
    AND {CUT} AND sequence > 0
GROUP BY symbol, numbering, bucket
ORDER BY symbol, numbering, bucket
"""

NUMBERS: Final = f"""
SELECT symbol, numbering, sequence, trade_id, timestamp
FROM silver_trades FINAL
WHERE exchange = {{exchange:String}}
    AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}}
    AND {CUT} AND sequence > 0
    AND (symbol, numbering, intDiv(sequence, {{bucket:UInt64}})) IN
    (
        SELECT symbol, numbering, intDiv(sequence, {{bucket:UInt64}}) AS bucket
        FROM silver_trades FINAL
        WHERE exchange = {{exchange:String}}
            AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}}
            AND {CUT} AND sequence > 0
        GROUP BY symbol, numbering, bucket
        HAVING count() < max(sequence) - min(sequence) + 1
    )
ORDER BY symbol, numbering, sequence
"""

IDS: Final = f"""
SELECT symbol, numbering, sequence, trade_id, timestamp
FROM silver_trades FINAL
WHERE exchange = {{exchange:String}}
    AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}}
    AND {CUT} AND sequence = 0
    AND timestamp >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
ORDER BY timestamp
"""

NUMBERINGS: Final = """
SELECT symbol, first_sequence, toUnixTimestamp64Micro(stored.began) AS began,
    toUnixTimestamp64Micro(stored.before) AS before, last_sequence, numbering
FROM numberings AS stored FINAL
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
ORDER BY symbol, began
"""

MARKET_OUTAGES: Final = """
SELECT symbol, began, since, ended, heard
FROM
(
    SELECT symbol, toUnixTimestamp64Micro(stored.began) AS began,
        toUnixTimestamp64Micro(min(stored.since)) AS since,
        toUnixTimestamp64Micro(max(stored.ended)) AS ended
    FROM market_outages AS stored
    WHERE exchange = {exchange:String}
        AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
    GROUP BY symbol, stored.began
) AS outages
LEFT JOIN
(
    SELECT symbol, toUnixTimestamp64Micro(max(received_at)) AS heard
    FROM silver_trades
    WHERE exchange = {exchange:String}
        AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
        AND via = 'websocket' AND sequence > 0
        AND symbol IN (SELECT symbol FROM market_outages WHERE exchange = {exchange:String}
            AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32})
    GROUP BY symbol
) AS trades USING (symbol)
ORDER BY symbol, began
"""

WATERMARK: Final = f"""
SELECT greatest(
    (SELECT max(toUnixTimestamp64Micro(watermark))
     FROM watermarks WHERE exchange = {{exchange:String}} AND {OVERLAPS.format("watermarks")}),
    (SELECT max(toUnixTimestamp64Micro(timestamp))
     FROM silver_trades WHERE exchange = {{exchange:String}}
        AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}} AND {CUT})
    - {{grace:Int64}}
) AS watermark
"""

# Candles that do not match the stored trades and the watermark, left by a process that stopped
# between storing trades and storing their candles.
STALE: Final = """
WITH minutes AS
(
    SELECT symbol, toStartOfMinute(timestamp) AS minute, count() AS trades
    FROM silver_trades FINAL
    WHERE exchange = {exchange:String}
        AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
        AND empty(conditions)
    GROUP BY symbol, minute
),
expected AS
(
    SELECT timeframe, symbol,
        fromUnixTimestamp(intDiv(toUnixTimestamp(minute), length) * length) AS window_start,
        2 * sum(trades) + (
            (toInt64(toUnixTimestamp(window_start)) + any(length)) * 1000000 <= {watermark:Int64}
        ) AS version
    FROM minutes
    ARRAY JOIN {numbers:Array(Int8)} AS timeframe, {lengths:Array(UInt32)} AS length
    GROUP BY timeframe, symbol, window_start
)
SELECT expected.timeframe AS timeframe, expected.symbol AS symbol,
    toDateTime64(expected.window_start, 6, 'UTC') AS window_start
FROM expected
LEFT JOIN
(
    SELECT toInt8(timeframe) AS timeframe, symbol, window_start, version
    FROM ohlcv FINAL
    WHERE exchange = {exchange:String}
        AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
) AS stored USING (timeframe, symbol, window_start)
WHERE stored.version != expected.version
"""
