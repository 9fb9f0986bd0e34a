-- Hash of the content of each row, to compare tables whatever the order of their rows and parts. It
-- covers all columns except those of our clock (inserted_at, updated_at) and `revision`: our clock
-- may change it, as it closes candles while an exchange is idle. The sum of the hashes (modulo
-- 2^128) is a hash of many rows:
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
        -- Numbering 0 is left out, so that its hashes equal those from before numberings existed.
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
