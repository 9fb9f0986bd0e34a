-- The same without gaps: a window in which nothing traded, between the first and
-- the last candle of a market, shows the last close with no volume and no vwap, and
-- filled = true. These prices are shown, never stored.
CREATE VIEW IF NOT EXISTS ohlcv_filled AS
WITH toUInt32(window_end - window_start) AS length
SELECT
    timeframe,
    exchange,
    symbol,
    fromUnixTimestamp(start, 'UTC') AS window_start,
    fromUnixTimestamp(start + length, 'UTC') AS window_end,
    start != toUnixTimestamp(candle.window_start) AS filled,
    if(filled, candle.close, candle.open) AS open,
    if(filled, candle.close, candle.high) AS high,
    if(filled, candle.close, candle.low) AS low,
    candle.close AS close,
    if(filled, toDecimal128(0, 12), candle.volume) AS volume,
    if(filled, toDecimal128(0, 18), candle.quote_volume) AS quote_volume,
    if(filled, NULL, candle.vwap) AS vwap,
    if(filled, 0, candle.trade_count) AS trade_count
FROM
(
    SELECT
        *,
        leadInFrame(window_start, 1, window_end) OVER
        (
            PARTITION BY timeframe, exchange, symbol
            ORDER BY window_start
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next_start
    FROM ohlcv_candles
) AS candle
ARRAY JOIN range(
    toUnixTimestamp(candle.window_start),
    toUnixTimestamp(candle.next_start),
    toUInt32(candle.window_end - candle.window_start)
) AS start;

CREATE VIEW IF NOT EXISTS ohlcv_1m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '1m';
CREATE VIEW IF NOT EXISTS ohlcv_5m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '5m';
CREATE VIEW IF NOT EXISTS ohlcv_15m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '15m';
CREATE VIEW IF NOT EXISTS ohlcv_30m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '30m';
CREATE VIEW IF NOT EXISTS ohlcv_1h_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '1h';
CREATE VIEW IF NOT EXISTS ohlcv_1d_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '1d';
