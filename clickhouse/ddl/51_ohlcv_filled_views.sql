-- Candles without empty windows. A window without trades between the first and the last candle of
-- a market has filled = true, the close of the last candle as its prices, no volume and no vwap.
-- Such prices are never stored and have no certificate, so these views have no status.
CREATE OR REPLACE VIEW ohlcv_filled AS
SELECT
    timeframe,
    exchange,
    symbol,
    toDateTime(start, 'UTC') AS window_start,
    toDateTime(start + length, 'UTC') AS window_end,
    start != begin AS filled,
    if(filled, last_price, first_price) AS open,
    if(filled, last_price, most) AS high,
    if(filled, last_price, least) AS low,
    last_price AS close,
    if(filled, toDecimal128(0, 12), base_sum) AS volume,
    if(filled, toDecimal128(0, 18), quote_sum) AS quote_volume,
    if(filled, NULL, average) AS vwap,
    if(filled, 0, trades) AS trade_count
FROM
(
    SELECT
        timeframe,
        exchange,
        symbol,
        toUnixTimestamp(candle.window_start) AS begin,
        toUInt32(toUnixTimestamp(candle.window_end) - begin) AS length,
        leadInFrame(begin, 1, toUInt32(begin + length)) OVER
        (
            PARTITION BY timeframe, exchange, symbol
            ORDER BY begin
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next,
        candle.open AS first_price,
        candle.high AS most,
        candle.low AS least,
        candle.close AS last_price,
        candle.volume AS base_sum,
        candle.quote_volume AS quote_sum,
        candle.vwap AS average,
        candle.trade_count AS trades
    FROM ohlcv_candles AS candle
)
ARRAY JOIN range(begin, next, length) AS start;

CREATE OR REPLACE VIEW ohlcv_1m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '1m';
CREATE OR REPLACE VIEW ohlcv_5m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '5m';
CREATE OR REPLACE VIEW ohlcv_15m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '15m';
CREATE OR REPLACE VIEW ohlcv_30m_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '30m';
CREATE OR REPLACE VIEW ohlcv_1h_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '1h';
CREATE OR REPLACE VIEW ohlcv_1d_filled AS SELECT * EXCEPT timeframe FROM ohlcv_filled WHERE timeframe = '1d';
