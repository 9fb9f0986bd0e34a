-- Lines, frames and trades that could not be read, kept whole with the reason.
--
-- scope 'line': a line of a frame log that holds no frame. It has no exchange, its source is the
--   log and its offset the number of the line, counted from 0.
-- scope 'frame': a frame of bronze_frames with kind 'dead'.
-- scope 'trade': a bad trade of a frame with good ones; source_index is its place in the frame.
CREATE TABLE IF NOT EXISTS dead_letters
(
    exchange         LowCardinality(String),
    connection       LowCardinality(String),
    source           LowCardinality(String),
    source_partition UInt32,
    source_offset    UInt64,
    source_index     UInt16,
    received_at      DateTime64(6, 'UTC'),
    received_ns      UInt16,
    scope            Enum8('line' = 1, 'frame' = 2, 'trade' = 3),
    reason           LowCardinality(String),
    detail           String CODEC(ZSTD(1)),
    frame            String CODEC(ZSTD(1)),
    inserted_at      DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY
(
    exchange, connection, received_at, source, source_partition, source_offset,
    received_ns, scope, source_index, sipHash64(frame)
)
TTL toDateTime(inserted_at) + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 1000;
