-- Where exchanges began the numbers of a market anew: every numbering but the first, 0. The trades
-- of a numbering name it in `silver_trades`.
CREATE TABLE IF NOT EXISTS numberings
(
    exchange       LowCardinality(String),
    symbol         LowCardinality(String),
    numbering      UInt32,
    first_sequence UInt64 COMMENT 'number of the trade that opened it',
    began          DateTime64(6, 'UTC') COMMENT 'time of that trade',
    before         DateTime64(6, 'UTC') COMMENT 'time of the latest trade known then',
    inserted_at    DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY (exchange, symbol, numbering)
SETTINGS non_replicated_deduplication_window = 1000;
