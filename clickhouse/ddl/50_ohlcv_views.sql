-- Candles for queries: one row per candle, with its end, its volume-weighted average price (vwap)
-- and its certificate. vwap is truncated after 12 decimals.
CREATE OR REPLACE VIEW ohlcv_candles AS
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
    status,
    missing,
    feed_down_ms,
    repaired,
    revision,
    closed,
    version,
    updated_at
FROM ohlcv FINAL;

CREATE OR REPLACE VIEW ohlcv_1m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '1m';
CREATE OR REPLACE VIEW ohlcv_5m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '5m';
CREATE OR REPLACE VIEW ohlcv_15m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '15m';
CREATE OR REPLACE VIEW ohlcv_30m AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '30m';
CREATE OR REPLACE VIEW ohlcv_1h AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '1h';
CREATE OR REPLACE VIEW ohlcv_1d AS SELECT * EXCEPT timeframe FROM ohlcv_candles WHERE timeframe = '1d';

-- Closed candles that are certified as complete.
CREATE OR REPLACE VIEW ohlcv_1m_trusted AS SELECT * FROM ohlcv_1m WHERE status = 'complete';
CREATE OR REPLACE VIEW ohlcv_5m_trusted AS SELECT * FROM ohlcv_5m WHERE status = 'complete';
CREATE OR REPLACE VIEW ohlcv_15m_trusted AS SELECT * FROM ohlcv_15m WHERE status = 'complete';
CREATE OR REPLACE VIEW ohlcv_30m_trusted AS SELECT * FROM ohlcv_30m WHERE status = 'complete';
CREATE OR REPLACE VIEW ohlcv_1h_trusted AS SELECT * FROM ohlcv_1h WHERE status = 'complete';
CREATE OR REPLACE VIEW ohlcv_1d_trusted AS SELECT * FROM ohlcv_1d WHERE status = 'complete';

-- Closed candles as they were stored at the time t, by our clock:
-- SELECT * FROM ohlcv_as_of(t = '2025-06-15 12:00:00') WHERE timeframe = '1h'
CREATE OR REPLACE VIEW ohlcv_as_of AS
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
    status,
    missing,
    feed_down_ms,
    repaired,
    revision,
    version,
    cause,
    known_at
FROM ohlcv_revisions FINAL
WHERE known_at <= {t:DateTime64(6, 'UTC')}
ORDER BY version DESC, known_at DESC
LIMIT 1 BY timeframe, exchange, symbol, window_start;
