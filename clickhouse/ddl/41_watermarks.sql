-- Watermarks: a candle of an exchange is closed if its window ends at or before the watermark.
CREATE TABLE IF NOT EXISTS watermarks
(
    exchange   LowCardinality(String),
    watermark  DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(watermark)
ORDER BY exchange
SETTINGS non_replicated_deduplication_window = 1000;
