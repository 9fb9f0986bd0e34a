-- Runs of sequence numbers that an exchange began anew, and since when a market is refused.
ALTER TABLE silver_trades
    ADD COLUMN IF NOT EXISTS
        numbering UInt32 CODEC(ZSTD(1))
        COMMENT 'which run of numbers of the market it is of, see numberings' AFTER via;

ALTER TABLE gaps
    ADD COLUMN IF NOT EXISTS numbering UInt32 COMMENT 'of the trades beside it',
    MODIFY ORDER BY (exchange, symbol, first_sequence, last_sequence, numbering);

ALTER TABLE numberings
    ADD COLUMN IF NOT EXISTS last_sequence UInt64
    COMMENT 'the last number known then of the one before it' AFTER before;

ALTER TABLE market_outages
    ADD COLUMN IF NOT EXISTS since SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT began
    COMMENT 'time of the last trade that came, at the exchange, if earlier: no candle since is complete'
    AFTER began;

-- Missing ranges were called holes.
DROP VIEW IF EXISTS hole_check_mv;

DROP TABLE IF EXISTS hole_check;
