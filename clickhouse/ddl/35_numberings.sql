-- Numberings: the start of each run of sequence numbers of a market, except the oldest run. They are
-- numbered in the order of their detection. 0 is the first one detected, and trades with restarted
-- numbers open the next. If a backfill finds a run before all others, it gets the next free number,
-- and then 0 has a row.
CREATE TABLE IF NOT EXISTS numberings
(
    exchange       LowCardinality(String),
    symbol         LowCardinality(String),
    numbering      UInt32 COMMENT 'as the trades of it name it in silver_trades',
    first_sequence UInt64 COMMENT 'the first number known of it',
    began          DateTime64(6, 'UTC') COMMENT 'time of that trade',
    before         DateTime64(6, 'UTC') COMMENT 'time of the latest trade known then of the one before it',
    last_sequence  UInt64 COMMENT 'the last number known then of the one before it',
    inserted_at    DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY (exchange, symbol, numbering)
SETTINGS non_replicated_deduplication_window = 1000;
