-- Cross-check: all candles computed again from the stored trades, by SQL that shares nothing with
-- the dataflow. No other part reads it: candlewax verify refreshes it and compares.
CREATE TABLE IF NOT EXISTS ohlcv_check
(
    timeframe        Enum8('1m' = 1, '5m' = 2, '15m' = 3, '30m' = 4, '1h' = 5, '1d' = 6),
    exchange         LowCardinality(String),
    symbol           LowCardinality(String),
    window_start     DateTime('UTC'),
    open             Decimal(38, 12),
    high             Decimal(38, 12),
    low              Decimal(38, 12),
    close            Decimal(38, 12),
    volume           Decimal(38, 12),
    quote_volume     Decimal(38, 18),
    trade_count      UInt64,
    buy_volume       Decimal(38, 12),
    buy_quote_volume Decimal(38, 18),
    open_time        DateTime64(6, 'UTC'),
    close_time       DateTime64(6, 'UTC'),
    first_sequence   UInt64,
    last_sequence    UInt64,
    closed           Bool,
    version          UInt64
)
ENGINE = MergeTree
ORDER BY (timeframe, exchange, symbol, window_start);

-- Minutes are computed first, and all timeframes from the minutes. Trades are ordered by time, then
-- by sequence, then by source and id, so there are no ties; the price only follows in the tuple.
-- It is made again, as it may be of an older version.
DROP VIEW IF EXISTS ohlcv_check_mv;

CREATE MATERIALIZED VIEW IF NOT EXISTS ohlcv_check_mv
REFRESH EVERY 1 HOUR TO ohlcv_check EMPTY AS
WITH
    minutes AS
    (
        SELECT
            exchange,
            symbol,
            toUnixTimestamp(toStartOfMinute(timestamp)) AS minute,
            min((timestamp, sequence, source_offset, source_index, trade_id, price)) AS first,
            max((timestamp, sequence, source_offset, source_index, trade_id, price)) AS last,
            max(price) AS most,
            min(price) AS least,
            sum(quantity) AS base_sum,
            sum(quote_volume) AS quote_sum,
            count() AS trades,
            sumIf(quantity, side = 'BUY') AS buy_base_sum,
            sumIf(quote_volume, side = 'BUY') AS buy_quote_sum
        FROM silver_trades FINAL
        WHERE empty(conditions)
        GROUP BY exchange, symbol, minute
    ),
    candles AS
    (
        SELECT
            frame.1 AS number,
            exchange,
            symbol,
            intDiv(minute, frame.2) * frame.2 AS start,
            start + frame.2 AS end,
            max(most) AS high,
            min(least) AS low,
            sum(base_sum) AS volume,
            sum(quote_sum) AS quote_volume,
            sum(trades) AS trade_count,
            sum(buy_base_sum) AS buy_volume,
            sum(buy_quote_sum) AS buy_quote_volume,
            min(first) AS opening,
            max(last) AS closing
        FROM minutes
        ARRAY JOIN [(1, 60), (2, 300), (3, 900), (4, 1800), (5, 3600), (6, 86400)] AS frame
        GROUP BY frame, exchange, symbol, start, end
    )
SELECT
    CAST(number, 'Enum8(\'1m\' = 1, \'5m\' = 2, \'15m\' = 3, \'30m\' = 4, \'1h\' = 5, \'1d\' = 6)') AS timeframe,
    candles.exchange AS exchange,
    candles.symbol AS symbol,
    toDateTime(start, 'UTC') AS window_start,
    opening.6 AS open,
    high,
    low,
    closing.6 AS close,
    volume,
    quote_volume,
    trade_count,
    buy_volume,
    buy_quote_volume,
    opening.1 AS open_time,
    closing.1 AS close_time,
    opening.2 AS first_sequence,
    closing.2 AS last_sequence,
    toDateTime64(end, 6, 'UTC') <= marks.watermark AS closed,
    2 * trade_count + closed AS version
FROM candles
LEFT JOIN market_watermarks AS marks ON marks.exchange = candles.exchange AND marks.symbol = candles.symbol;

-- Candles that differ. A candle is kept longer than its trades. It is left out once no trade of its
-- exchange is stored for its day and it was last written before the retention of trades.
CREATE OR REPLACE VIEW ohlcv_mismatches AS
WITH
    ['open', 'high', 'low', 'close', 'volume', 'quote_volume', 'trade_count', 'buy_volume',
     'buy_quote_volume', 'open_time', 'close_time', 'first_sequence', 'last_sequence', 'closed',
     'version'] AS names,
    [toString(gold.open), toString(gold.high), toString(gold.low), toString(gold.close),
     toString(gold.volume), toString(gold.quote_volume), toString(gold.trade_count),
     toString(gold.buy_volume), toString(gold.buy_quote_volume), toString(gold.open_time),
     toString(gold.close_time), toString(gold.first_sequence), toString(gold.last_sequence),
     toString(gold.closed), toString(gold.version)] AS stored,
    [toString(sql.open), toString(sql.high), toString(sql.low), toString(sql.close),
     toString(sql.volume), toString(sql.quote_volume), toString(sql.trade_count),
     toString(sql.buy_volume), toString(sql.buy_quote_volume), toString(sql.open_time),
     toString(sql.close_time), toString(sql.first_sequence), toString(sql.last_sequence),
     toString(sql.closed), toString(sql.version)] AS computed,
    arrayFilter((name, a, b) -> a != b, names, stored, computed) AS differing
SELECT
    if(gold.present, gold.timeframe, sql.timeframe) AS timeframe,
    if(gold.present, gold.exchange, sql.exchange) AS exchange,
    if(gold.present, gold.symbol, sql.symbol) AS symbol,
    if(gold.present, gold.window_start, sql.window_start) AS window_start,
    multiIf(NOT gold.present, 'missing_in_gold', NOT sql.present, 'missing_in_check', 'mismatch') AS problem,
    differing AS fields,
    if(gold.present, mapFromArrays(names, stored), map()) AS gold_values,
    if(sql.present, mapFromArrays(names, computed), map()) AS check_values
FROM (SELECT *, true AS present FROM ohlcv FINAL) AS gold
FULL JOIN (SELECT *, true AS present FROM ohlcv_check) AS sql
    ON gold.timeframe = sql.timeframe AND gold.exchange = sql.exchange
    AND gold.symbol = sql.symbol AND gold.window_start = sql.window_start
WHERE notEmpty(differing)
    AND
    (
        sql.present
        OR gold.updated_at > (SELECT since FROM retention WHERE table = 'silver_trades')
        OR (gold.exchange, toDate(gold.window_start)) IN
            (SELECT DISTINCT exchange, toDate(timestamp) FROM silver_trades)
    )
SETTINGS join_use_nulls = 0;
