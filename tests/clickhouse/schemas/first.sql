-- Tables of the first release.
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
    min_bytes_for_wide_part = 67108864;

CREATE TABLE IF NOT EXISTS silver_trades
(
    exchange         LowCardinality(String),
    symbol           LowCardinality(String) COMMENT 'unified, as ccxt names it',
    native_symbol    LowCardinality(String) COMMENT 'as the exchange writes it',
    base             LowCardinality(String),
    quote            LowCardinality(String),
    trade_id         String CODEC(ZSTD(1)),
    sequence         UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT '0: the exchange does not number its trades',
    timestamp        DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'of the trade at the exchange',
    side             Enum8('BUY' = 1, 'SELL' = 2) CODEC(ZSTD(1)) COMMENT 'of the taker',
    price            Decimal(38, 12) CODEC(ZSTD(1)),
    quantity         Decimal(38, 12) CODEC(ZSTD(1)),
    quote_volume     Decimal(38, 18) CODEC(ZSTD(1)),
    conditions       Array(LowCardinality(String)) COMMENT 'flags that take a trade out of candles',
    received_at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    inserted_at      DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta, ZSTD(1)),
    source           LowCardinality(String),
    source_partition UInt32 CODEC(ZSTD(1)),
    source_offset    UInt64 CODEC(DoubleDelta, ZSTD(1)),
    source_index     UInt16 CODEC(ZSTD(1)),
    vendor_data      Map(LowCardinality(String), String) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(timestamp)
ORDER BY (exchange, symbol, timestamp, trade_id)
TTL toDateTime(inserted_at) + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 1000,
    min_bytes_for_wide_part = 67108864;

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

CREATE TABLE IF NOT EXISTS ohlcv
(
    timeframe        Enum8('1m' = 1, '5m' = 2, '15m' = 3, '30m' = 4, '1h' = 5, '1d' = 6),
    exchange         LowCardinality(String),
    symbol           LowCardinality(String),
    window_start     DateTime('UTC') CODEC(Delta, ZSTD(1)),
    open             Decimal(38, 12) CODEC(ZSTD(1)),
    high             Decimal(38, 12) CODEC(ZSTD(1)),
    low              Decimal(38, 12) CODEC(ZSTD(1)),
    close            Decimal(38, 12) CODEC(ZSTD(1)),
    volume           Decimal(38, 12) CODEC(ZSTD(1)),
    quote_volume     Decimal(38, 18) CODEC(ZSTD(1)),
    trade_count      UInt64 CODEC(ZSTD(1)),
    buy_volume       Decimal(38, 12) CODEC(ZSTD(1)) COMMENT 'taker bought',
    buy_quote_volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'taker bought',
    open_time        DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    close_time       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    first_sequence   UInt64 CODEC(DoubleDelta, ZSTD(1)),
    last_sequence    UInt64 CODEC(DoubleDelta, ZSTD(1)),
    closed           Bool,
    version          UInt64 CODEC(ZSTD(1)),
    updated_at       DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (timeframe = '1d', toYYYYMM(window_start))
ORDER BY (timeframe, exchange, symbol, window_start)
TTL toDateTime(updated_at) + toIntervalDay(if(timeframe = '1d', 730, 365))
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS watermarks
(
    exchange   LowCardinality(String),
    watermark  DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(watermark)
ORDER BY exchange
SETTINGS non_replicated_deduplication_window = 1000;
