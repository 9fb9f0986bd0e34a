-- Every frame exactly as the exchange sent it, with its number of trades and duplicates.
--
-- A frame that is stored again under the same key (a replay, or the same log twice) replaces its
-- row. The row with the most new trades wins: only when a frame is first processed do its
-- trades not count as duplicates.
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
    -- Blocks are large: merge ten parts at a time, not five.
    merge_selector_base = 10;
