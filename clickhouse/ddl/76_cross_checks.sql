-- Latest result of the continuous cross-check for each exchange; `candlewax serve` shows it.
CREATE TABLE IF NOT EXISTS cross_checks
(
    exchange         LowCardinality(String),
    checked_at       DateTime64(3, 'UTC') COMMENT 'when the last look ended',
    candles          UInt64 COMMENT 'closed candles compared since the process that looks began',
    mismatches       UInt64 COMMENT 'candles that are wrong by now: they differ from their trades',
    missing_in_gold  UInt64 COMMENT 'there are trades, and no candle',
    missing_in_check UInt64 COMMENT 'there is a candle, and no trade'
)
ENGINE = ReplacingMergeTree(checked_at)
ORDER BY exchange;
