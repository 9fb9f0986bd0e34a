-- How far the candles of an exchange are closed: every window that ended by its
-- watermark is, no other.
CREATE TABLE IF NOT EXISTS watermarks
(
    exchange   LowCardinality(String),
    watermark  DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(watermark)
ORDER BY exchange
SETTINGS non_replicated_deduplication_window = 1000;
