-- Candles of six timeframes, one row per candle after FINAL.
--
-- version = 2 * trade_count + closed. It grows with the trades of a candle, so neither a replay nor
-- a process with fewer trades can overwrite a candle with more.
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
    repaired         UInt32 CODEC(ZSTD(1)) COMMENT 'trades in it that did not come over the websocket',
    revision         UInt16 CODEC(ZSTD(1)) COMMENT 'trades that came after it had closed',
    missing          UInt64 CODEC(ZSTD(1)) COMMENT 'numbers known missing that may belong to it',
    status           Enum8('forming' = 1, 'complete' = 2, 'gaps' = 3, 'partial' = 4, 'unverified' = 5)
                     DEFAULT if(closed, 'unverified', 'forming') CODEC(ZSTD(1)),
    feed_down_ms     UInt64 CODEC(ZSTD(1)) COMMENT 'of its window without any connection',
    closed           Bool,
    version          UInt64 CODEC(ZSTD(1)),
    updated_at       DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta, ZSTD(1)),
    -- Finds recently stored candles without reading updated_at of the whole table.
    INDEX by_update updated_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
-- All timeframes share a partition: a batch of trades changes all six, and each partition of an
-- insert costs as much as another insert.
PARTITION BY toYYYYMM(window_start)
ORDER BY (timeframe, exchange, symbol, window_start)
SETTINGS
    non_replicated_deduplication_window = 1000;
