-- Contradictions: trades received under the number of a stored trade with other content. The
-- stored trade stays, the received one becomes a dead letter. The key holds values of the
-- exchange only, so a contradiction that is received again replaces its own row.
CREATE TABLE IF NOT EXISTS contradictions
(
    exchange         LowCardinality(String),
    symbol           LowCardinality(String),
    sequence         UInt64 COMMENT 'the number of both',
    stored_timestamp DateTime64(6, 'UTC'),
    stored_side      Enum8('BUY' = 1, 'SELL' = 2),
    stored_price     Decimal(38, 12),
    stored_quantity  Decimal(38, 12),
    timestamp        DateTime64(6, 'UTC') COMMENT 'of the trade that came',
    side             Enum8('BUY' = 1, 'SELL' = 2),
    price            Decimal(38, 12),
    quantity         Decimal(38, 12),
    received_at      DateTime64(6, 'UTC'),
    source           LowCardinality(String),
    source_partition UInt32,
    source_offset    UInt64,
    source_index     UInt16,
    inserted_at      DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY (exchange, symbol, sequence, timestamp, side, price, quantity)
SETTINGS non_replicated_deduplication_window = 1000;
