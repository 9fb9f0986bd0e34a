-- Bars of a fixed amount: each closes with the trade by which its trades, their volume or their quote
-- volume reach a threshold. Only for markets with thresholds in the instruments file.
--
-- The bars of a market and a day (UTC) follow from the stored trades of that day alone: the first bar
-- begins with the first trade after midnight, the last one ends at midnight, whatever it holds.
--
-- version = 2 * trades of the day + whether the day has closed. It grows with the trades, so a process
-- that knows fewer of them cannot replace a bar.
CREATE TABLE IF NOT EXISTS bars
(
    kind             Enum8('tick' = 1, 'volume' = 2, 'dollar' = 3),
    threshold        Decimal(38, 12) COMMENT 'trades, base asset, quote asset',
    exchange         LowCardinality(String),
    symbol           LowCardinality(String),
    day              Date,
    number           UInt32 COMMENT 'within the day, from 0',
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
    missing          UInt64 CODEC(ZSTD(1)) COMMENT 'numbers missing since midnight that may shift it',
    status           Enum8('forming' = 1, 'complete' = 2, 'gaps' = 3, 'partial' = 4, 'unverified' = 5) CODEC(ZSTD(1)),
    closed           Bool,
    version          UInt64 CODEC(ZSTD(1)),
    day_mark         UInt64 CODEC(ZSTD(1)) COMMENT 'state of the day candle that the bars follow from',
    checkpoint       String CODEC(ZSTD(1)) COMMENT 'state of the fold at its end, to go on from; empty at most bars',
    updated_at       DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (kind, threshold, exchange, symbol, day, number)
SETTINGS non_replicated_deduplication_window = 1000;
