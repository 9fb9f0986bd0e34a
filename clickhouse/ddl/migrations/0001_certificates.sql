-- Columns of the certificates of candles, and how a trade was received. Closed candles from before are
-- unverified.
ALTER TABLE silver_trades
    ADD COLUMN IF NOT EXISTS via Enum8('websocket' = 1, 'rest' = 2, 'dump' = 3) DEFAULT 'websocket'
    CODEC(ZSTD(1)) AFTER source_index;

ALTER TABLE ohlcv
    ADD COLUMN IF NOT EXISTS
        repaired UInt32 CODEC(ZSTD(1)) COMMENT 'trades in it that did not come over the websocket'
        AFTER last_sequence,
    ADD COLUMN IF NOT EXISTS
        revision UInt16 CODEC(ZSTD(1)) COMMENT 'trades that came after it had closed' AFTER repaired,
    ADD COLUMN IF NOT EXISTS
        missing UInt64 CODEC(ZSTD(1)) COMMENT 'numbers known missing that may belong to it'
        AFTER revision,
    ADD COLUMN IF NOT EXISTS
        status Enum8('forming' = 1, 'complete' = 2, 'gaps' = 3, 'partial' = 4, 'unverified' = 5)
        DEFAULT if(closed, 'unverified', 'forming') CODEC(ZSTD(1)) AFTER missing,
    ADD COLUMN IF NOT EXISTS
        feed_down_ms UInt64 CODEC(ZSTD(1)) COMMENT 'of its window without any connection'
        AFTER status;

ALTER TABLE ohlcv ADD INDEX IF NOT EXISTS by_update updated_at TYPE minmax GRANULARITY 1;
