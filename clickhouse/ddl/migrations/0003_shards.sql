-- Shares of the markets of an exchange, each with a watermark and with outages of its own.
ALTER TABLE outages
    ADD COLUMN IF NOT EXISTS shards UInt16
        COMMENT 'number of shards of the exchange; 0 for an outage of all its markets',
    ADD COLUMN IF NOT EXISTS shard UInt16 COMMENT 'which of them, from 0',
    MODIFY ORDER BY (exchange, began, shards, shard);

ALTER TABLE watermarks
    ADD COLUMN IF NOT EXISTS shards UInt16
        COMMENT 'number of shards of the exchange; 0 for a watermark of all its markets',
    ADD COLUMN IF NOT EXISTS shard UInt16 COMMENT 'which of them, from 0',
    MODIFY ORDER BY (exchange, shards, shard);
