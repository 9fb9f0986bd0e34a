-- Subscriptions: when live feeds of this database began to ask for a market, and when they ceased to.
-- Only changes are stored. A process that stops asks for the market still: it was not told to cease.
CREATE TABLE IF NOT EXISTS subscriptions
(
    exchange   LowCardinality(String),
    symbol     LowCardinality(String),
    at         DateTime64(6, 'UTC') COMMENT 'by our clock, when a process started with it',
    subscribed Bool COMMENT 'false: no longer asked for'
)
ENGINE = ReplacingMergeTree
ORDER BY (exchange, symbol, at)
SETTINGS non_replicated_deduplication_window = 1000;

-- Spans of time in which a market was subscribed; one that goes on ends in 2105.
CREATE OR REPLACE VIEW subscription_spans AS
SELECT exchange, symbol, at AS began, next AS ended
FROM
(
    SELECT
        exchange, symbol, at, subscribed,
        leadInFrame(at, 1, toDateTime64('2105-12-31 00:00:00', 6, 'UTC')) OVER
        (
            PARTITION BY exchange, symbol
            ORDER BY at
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next
    FROM subscriptions FINAL
)
WHERE subscribed;
