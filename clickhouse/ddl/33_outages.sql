-- When no connection to an exchange was alive: from the moment its last one was gone, or
-- from the last frame received if a process died without a word, until the next one was
-- there. An outage that goes on has no row yet.
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
