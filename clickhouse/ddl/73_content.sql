-- What each row says as one number, so that tables can be compared whatever the order
-- of their rows and parts, and whenever they were written: all columns but the clocks of
-- ours (inserted_at, updated_at) and `revision`, in which our clock may have a part, as it
-- closes candles when an exchange is silent. Summed, the numbers of many rows make one of all of
-- them (modulo 2^128):
--
--   SELECT toDate(timestamp) AS day, count() AS rows,
--       lower(leftPad(hex(sum(content)), 32, '0')) AS hash
--   FROM silver_content GROUP BY day ORDER BY day
CREATE OR REPLACE VIEW silver_content AS
SELECT
    exchange,
    symbol,
    timestamp,
    trade_id,
    reinterpretAsUInt128(sipHash128(
        exchange, symbol, native_symbol, base, quote, trade_id, sequence, timestamp, side, price,
        quantity, quote_volume, conditions, received_at, source, source_partition, source_offset,
        source_index, via,
        -- The first numbering of a market leaves the number as it was before there were others.
        mapSort(if(numbering = 0, vendor_data, mapUpdate(vendor_data, map('\0numbering', toString(numbering)))))
    )) AS content
FROM silver_trades FINAL;

CREATE OR REPLACE VIEW ohlcv_content AS
SELECT
    timeframe,
    exchange,
    symbol,
    window_start,
    closed,
    status,
    revision,
    reinterpretAsUInt128(sipHash128(
        timeframe, exchange, symbol, window_start, open, high, low, close, volume, quote_volume,
        trade_count, buy_volume, buy_quote_volume, open_time, close_time, first_sequence,
        last_sequence, repaired, missing, status, feed_down_ms, closed, version
    )) AS content
FROM ohlcv FINAL;
