-- Market outages: spans of time in which an exchange refused one market while connected, or in which
-- frames of its connection were lost. Where ids do not count trades, also those in which no connection
-- was subscribed to the market: from the last frame of its connection on. Spans without any connection
-- are in `outages`.
CREATE TABLE IF NOT EXISTS market_outages
(
    exchange    LowCardinality(String),
    symbol      LowCardinality(String),
    began       DateTime64(6, 'UTC') COMMENT 'when the market was last subscribed, or its connection began',
    since       SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT began COMMENT 'time of the last trade that came, at the exchange, if earlier: no candle since is complete',
    ended       SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT '1970 as long as it is not subscribed',
    inserted_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT now64(6)
)
ENGINE = AggregatingMergeTree
ORDER BY (exchange, symbol, began)
SETTINGS non_replicated_deduplication_window = 1000;
