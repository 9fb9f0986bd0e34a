-- Markets of the instruments file, with what is known of them. Each start with this database and each
-- changed file stores them; a market stays once the file has it no more, as its trades do.
CREATE TABLE IF NOT EXISTS instruments
(
    exchange      LowCardinality(String),
    native_symbol String,
    symbol        LowCardinality(String) COMMENT 'unified',
    base          LowCardinality(String),
    quote         LowCardinality(String),
    kind          Enum8('spot' = 0, 'perpetual' = 1, 'future' = 2),
    contract_size Nullable(Decimal(38, 12)) COMMENT 'value of one contract in contract_unit: quantities and volumes are contracts. NULL: they are amounts of the base',
    contract_unit LowCardinality(String) COMMENT 'asset of contract_size, empty without one',
    tick          Nullable(Decimal(38, 12)) COMMENT 'step of prices',
    status        Enum8('unknown' = 0, 'trading' = 1, 'suspended' = 2, 'delisted' = 3),
    known_at      DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(known_at)
ORDER BY (exchange, native_symbol);
