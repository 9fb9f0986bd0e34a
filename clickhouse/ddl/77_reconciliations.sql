-- Closed one-minute candles compared with the exchange's own, one row per candle after FINAL.
--
-- A row is about the candle with the same version and revision: of a candle that has changed since,
-- nothing is known until it is compared again. Version 0: the exchange has a candle, we have none.
CREATE TABLE IF NOT EXISTS reconciliations
(
    exchange     LowCardinality(String),
    symbol       LowCardinality(String),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    result       Enum8('equal' = 1, 'differs' = 2, 'unavailable' = 3) CODEC(ZSTD(1)),
    version      UInt64 CODEC(ZSTD(1)) COMMENT 'of the candle that was compared; 0 if there was none',
    revision     UInt16 CODEC(ZSTD(1)) COMMENT 'of the candle that was compared',
    status       LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'of the candle that was compared, partial also if it is unverified and its market was not received all of its time; empty if there was none',
    fields       Array(LowCardinality(String)) CODEC(ZSTD(1)) COMMENT 'names of the fields that differ',
    ours         Array(String) CODEC(ZSTD(1)) COMMENT 'our values of these fields',
    theirs       Array(String) CODEC(ZSTD(1)) COMMENT 'the exchange''s values of these fields',
    reason       LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'why the exchange''s candle is unavailable',
    compared_at  DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(compared_at)
PARTITION BY toYYYYMM(window_start)
ORDER BY (exchange, symbol, window_start)
SETTINGS non_replicated_deduplication_window = 1000;

-- One-minute candles, with what their comparison with the exchange's own said: `no` if none was made
-- since the candle changed last. The fields that differ have our value and the exchange's.
--
-- `proof` is what shows that the candle has all trades: the numbers of its trades, or the equal candle of
-- the exchange, which counts where numbers prove nothing. A candle that differs has no proof.
CREATE OR REPLACE VIEW ohlcv_1m_reconciled AS
SELECT
    candle.*,
    CAST(if(compared.version = candle.version AND compared.revision = candle.revision,
        toInt8(compared.result), 0),
        'Enum8(''no'' = 0, ''equal'' = 1, ''differs'' = 2, ''unavailable'' = 3)') AS reconciled,
    if(reconciled = 'differs', mapFromArrays(compared.fields, arrayZip(compared.ours, compared.theirs)),
        map()) AS differing,
    CAST(multiIf(reconciled = 'differs', 0, candle.status = 'complete', 1, reconciled = 'equal', 2, 0),
        'Enum8(''none'' = 0, ''numbers'' = 1, ''exchange'' = 2)') AS proof
FROM ohlcv_1m AS candle
LEFT JOIN (SELECT * FROM reconciliations FINAL) AS compared
    ON compared.exchange = candle.exchange AND compared.symbol = candle.symbol
    AND compared.window_start = candle.window_start;
