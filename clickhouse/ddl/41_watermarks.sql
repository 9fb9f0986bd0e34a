-- Watermarks: a candle is closed if its window ends at or before the watermark of its market. Each
-- shard of an exchange has a watermark of its own. A market belongs to shard CRC32(symbol) % shards.
CREATE TABLE IF NOT EXISTS watermarks
(
    exchange   LowCardinality(String),
    watermark  DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6),
    shards     UInt16 COMMENT 'number of shards of the exchange; 0 for a watermark of all its markets',
    shard      UInt16 COMMENT 'which of them, from 0'
)
ENGINE = ReplacingMergeTree(watermark)
PRIMARY KEY exchange
ORDER BY (exchange, shards, shard)
SETTINGS non_replicated_deduplication_window = 1000;

-- The watermark of each market with a stored trade.
CREATE OR REPLACE VIEW market_watermarks AS
SELECT exchange, symbol, max(marks.watermark) AS watermark
FROM (SELECT DISTINCT exchange, symbol FROM silver_trades) AS markets
JOIN watermarks AS marks USING (exchange)
WHERE modulo(CRC32(toString(symbol)), greatest(marks.shards, 1)) = marks.shard
GROUP BY exchange, symbol;
