-- Outages: spans of time in which no connection to an exchange was alive. An outage begins when the
-- last connection closes, or with the last received frame if a process dies, and ends when the
-- next connection opens. An outage that goes on has no row yet.
CREATE TABLE IF NOT EXISTS outages
(
    exchange    LowCardinality(String),
    began       DateTime64(6, 'UTC'),
    ended       DateTime64(6, 'UTC'),
    inserted_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY (exchange, began)
SETTINGS non_replicated_deduplication_window = 1000;
