-- Kind of data in this database: the bundled sample, the simulator, or real markets. Data of another
-- kind is refused: simulated trades under an exchange's name must not be stored beside real ones.
CREATE TABLE IF NOT EXISTS database_kind
(
    kind  LowCardinality(String) COMMENT 'sample, simulated or real',
    since DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY kind
SETTINGS non_replicated_deduplication_window = 0;
