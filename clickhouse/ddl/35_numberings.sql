-- Where exchanges began the numbers of a market anew: the beginning of every numbering but the oldest.
-- They are named in the order in which they became known: 0 is the first, and later trades open
-- another; one that a backfill finds before all others has the last name, and then 0 a row.
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

-- A table of numberings that is older than this column.
ALTER TABLE numberings
    ADD COLUMN IF NOT EXISTS last_sequence UInt64
    COMMENT 'the last number known then of the one before it' AFTER before;
