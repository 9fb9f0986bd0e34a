-- Every frame exactly as the exchange sent it, with what became of it.
--
-- A frame that comes again under its own identity (a replay, the same log given
-- twice) replaces its row, and the row with the most trades seen for the first
-- time wins: the second look at a frame finds all its trades known, the first
-- look is the true one.
CREATE TABLE IF NOT EXISTS bronze_frames
(
    exchange         LowCardinality(String),
    connection       LowCardinality(String),
    source           LowCardinality(String),
    source_partition UInt32 CODEC(ZSTD(1)),
    source_offset    UInt64 CODEC(DoubleDelta, ZSTD(1)),
    received_at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    received_ns      UInt16 CODEC(ZSTD(1)) COMMENT 'nanoseconds beyond received_at',
    frame            String CODEC(ZSTD(1)),
    kind             Enum8('trade' = 1, 'control' = 2, 'dead' = 3) CODEC(ZSTD(1)),
    trades           UInt16 CODEC(ZSTD(1)) COMMENT 'trades decoded from the frame',
    duplicates       UInt16 CODEC(ZSTD(1)) COMMENT 'of those, already seen',
    inserted_at      DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta, ZSTD(1)),
    fresh            UInt16 MATERIALIZED trades - duplicates CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(fresh)
PARTITION BY toDate(received_at)
ORDER BY (exchange, connection, received_at, source, source_partition, source_offset, received_ns)
TTL toDateTime(inserted_at) + INTERVAL 7 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 1000,
    min_bytes_for_wide_part = 67108864,
    -- Blocks come large: rewrite them by tens, not by fives.
    merge_selector_base = 10;
