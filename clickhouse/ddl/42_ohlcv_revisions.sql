-- Every version of a closed candle that was ever in `ohlcv`, with the time of its first storing.
--
-- The key holds the content: a candle that is stored again unchanged keeps its row and the earliest
-- known_at. Repaired trades may bring a candle back to the content that it had before its gap was
-- detected; the cause 'repaired' is in the key, so that is another row.
CREATE TABLE IF NOT EXISTS ohlcv_revisions
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
    buy_volume       Decimal(38, 12) CODEC(ZSTD(1)),
    buy_quote_volume Decimal(38, 18) CODEC(ZSTD(1)),
    open_time        DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    close_time       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    first_sequence   UInt64 CODEC(DoubleDelta, ZSTD(1)),
    last_sequence    UInt64 CODEC(DoubleDelta, ZSTD(1)),
    repaired         UInt32 CODEC(ZSTD(1)),
    revision         UInt16 CODEC(ZSTD(1)),
    missing          UInt64 CODEC(ZSTD(1)),
    status           Enum8('forming' = 1, 'complete' = 2, 'gaps' = 3, 'partial' = 4, 'unverified' = 5) CODEC(ZSTD(1)),
    feed_down_ms     UInt64 CODEC(ZSTD(1)),
    version          UInt64 CODEC(ZSTD(1)),
    cause            Enum8('closed' = 1, 'late' = 2, 'repaired' = 3, 'recomputed' = 4) CODEC(ZSTD(1))
                     COMMENT 'it closed; trades, or news of missing ones, came later; what was missing came; computed anew of what is stored',
    known_at         DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta, ZSTD(1)),
    earliest         UInt64 MATERIALIZED toUInt64(9223372036854775807 - toUnixTimestamp64Micro(known_at)) CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(earliest)
PARTITION BY (timeframe = '1d', toYYYYMM(window_start))
ORDER BY
(
    timeframe, exchange, symbol, window_start,
    version, missing, status, feed_down_ms, repaired, revision, cause = 'repaired'
)
PRIMARY KEY (timeframe, exchange, symbol, window_start)
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 1000;
