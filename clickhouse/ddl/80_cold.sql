-- Units of the cold tier: rows of one exchange in one hour or day of a layer, and how far each is on
-- its way into the archive. The archive itself is the truth: this table can be filled again from it.
CREATE TABLE IF NOT EXISTS cold_units
(
    layer       LowCardinality(String) COMMENT 'table of the archive, as silver.trades',
    exchange    LowCardinality(String),
    begin       DateTime('UTC') COMMENT '1970 if the unit is all rows of the exchange',
    state       Enum8('written' = 1, 'committed' = 2, 'verified' = 3, 'sealed' = 4, 'released' = 5),
    rows        UInt64,
    content     String COMMENT 'sum of the hashes of the rows modulo 2^128',
    clocks      String COMMENT 'sum of the times of our clock, in microseconds since 1970',
    settled     Bool COMMENT 'no gap of it was being repaired when it was offloaded',
    files       Array(String) COMMENT 'its data files, below the folder of the table',
    snapshot    Int64 COMMENT 'Iceberg snapshot that holds it',
    measured_at DateTime64(6, 'UTC') COMMENT 'when the warm rows were measured',
    version     UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (layer, exchange, begin)
SETTINGS non_replicated_deduplication_window = 0;

-- Units whose warm rows were dropped, so that warm rows of them are only what came later. Apart from
-- `cold_units`, as one process may store there what it knew of a unit before another released it.
CREATE TABLE IF NOT EXISTS cold_releases
(
    layer    LowCardinality(String),
    exchange LowCardinality(String),
    begin    DateTime('UTC'),
    released Bool COMMENT 'false: the rows were moved back',
    version  UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (layer, exchange, begin)
SETTINGS non_replicated_deduplication_window = 0;

-- Up to when the rows of a layer were looked through for units to offload.
CREATE TABLE IF NOT EXISTS cold_marks
(
    layer   LowCardinality(String),
    mark    DateTime64(6, 'UTC') COMMENT 'rows stored before it are in the archive',
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY layer
SETTINGS non_replicated_deduplication_window = 0;

-- Trades, candles and frames, wherever they are. With a cold tier these views also read what is only
-- in the archive; they are replaced after each release, and then have a comment.
CREATE VIEW IF NOT EXISTS trades AS SELECT * FROM silver_trades FINAL;

CREATE VIEW IF NOT EXISTS candles AS SELECT * FROM ohlcv FINAL;

CREATE VIEW IF NOT EXISTS frames AS SELECT * FROM bronze_frames FINAL;
