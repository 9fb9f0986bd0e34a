-- Gaps: missing ranges of sequence numbers, as they were first detected.
--
-- The rows of a gap may be stored in any order, as each column is aggregated: missing only
-- shrinks, attempts only grow, and state only moves from open over repairing and unrepairable to
-- repaired.
CREATE TABLE IF NOT EXISTS gaps
(
    exchange       LowCardinality(String),
    symbol         LowCardinality(String),
    first_sequence UInt64 COMMENT 'first missing number',
    last_sequence  UInt64 COMMENT 'last missing number',
    count          SimpleAggregateFunction(max, UInt64) DEFAULT last_sequence - first_sequence + 1,
    missing        SimpleAggregateFunction(min, UInt64) COMMENT 'of these, not seen yet',
    before         SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'time of the last trade before it',
    after          SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'time of the first trade behind it',
    connection     SimpleAggregateFunction(max, String) COMMENT 'of the trade that showed it',
    detected_at    SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    state          SimpleAggregateFunction(max, Enum8('open' = 1, 'repairing' = 2, 'unrepairable' = 3, 'repaired' = 4)),
    reason         SimpleAggregateFunction(anyLast, Nullable(String)),
    attempts       SimpleAggregateFunction(max, UInt32),
    updated_at     SimpleAggregateFunction(max, DateTime64(6, 'UTC')) DEFAULT now64(6),
    numbering      UInt32 COMMENT 'of the trades beside it'
)
ENGINE = AggregatingMergeTree
PRIMARY KEY (exchange, symbol, first_sequence, last_sequence)
ORDER BY (exchange, symbol, first_sequence, last_sequence, numbering)
SETTINGS non_replicated_deduplication_window = 1000;
