-- Outages: spans of time in which no connection to an exchange was alive. An outage begins when the
-- last connection closes, or with the last received frame if a process dies, and ends when the
-- next connection opens. An outage that goes on has no row yet. If an exchange is read in shards, an
-- outage is one of the connections of a shard, to whose markets no other connection leads. A market
-- belongs to shard CRC32(symbol) % shards.
CREATE TABLE IF NOT EXISTS outages
(
    exchange    LowCardinality(String),
    began       DateTime64(6, 'UTC'),
    ended       DateTime64(6, 'UTC'),
    inserted_at DateTime64(6, 'UTC') DEFAULT now64(6),
    shards      UInt16 COMMENT 'number of shards of the exchange; 0 for an outage of all its markets',
    shard       UInt16 COMMENT 'which of them, from 0'
)
ENGINE = ReplacingMergeTree
PRIMARY KEY (exchange, began)
ORDER BY (exchange, began, shards, shard)
SETTINGS non_replicated_deduplication_window = 1000;
