-- Candles as users query them: one row per candle, with its end and its average
-- price. vwap is cut, not rounded, after 12 decimals.
CREATE VIEW IF NOT EXISTS ohlcv_candles AS
SELECT
    timeframe,
    exchange,
    symbol,
    window_start,
    window_start + toIntervalSecond(
        transform(toInt8(timeframe), [1, 2, 3, 4, 5, 6], [60, 300, 900, 1800, 3600, 86400], 0)
    ) AS window_end,
    open,
    high,
    low,
    close,
    volume,
    quote_volume,
    toDecimal128(divideDecimal(quote_volume, volume, 12), 12) AS vwap,
    trade_count,
    buy_volume,
    buy_quote_volume,
    open_time,
    close_time,
    first_sequence,
    last_sequence,
    closed,
    version,
    updated_at
FROM ohlcv FINAL;

CREATE VIEW IF NOT EXISTS ohlcv_1m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '1m';
CREATE VIEW IF NOT EXISTS ohlcv_5m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '5m';
CREATE VIEW IF NOT EXISTS ohlcv_15m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '15m';
CREATE VIEW IF NOT EXISTS ohlcv_30m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '30m';
CREATE VIEW IF NOT EXISTS ohlcv_1h AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '1h';
CREATE VIEW IF NOT EXISTS ohlcv_1d AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '1d';
