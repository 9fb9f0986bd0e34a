-- Trades of all exchanges. The order key holds values of the exchange only, no clock of ours, so a
-- trade that is written again replaces its own row.
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
    via              Enum8('websocket' = 1, 'rest' = 2, 'dump' = 3) DEFAULT 'websocket' CODEC(ZSTD(1)),
    numbering        UInt32 CODEC(ZSTD(1)) COMMENT 'which run of numbers of the market it is of, see numberings',
    vendor_data      Map(LowCardinality(String), String) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(timestamp)
ORDER BY (exchange, symbol, timestamp, trade_id)
TTL toDateTime(inserted_at) + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 1000,
    min_bytes_for_wide_part = 67108864,
    -- Blocks are large: merge ten parts at a time, not five.
    merge_selector_base = 10;
