-- Which conditions took trades out of candles, and whether their meaning is known. A condition
-- that is not known may belong into candles: see the notes of its exchange.
CREATE VIEW IF NOT EXISTS trade_conditions AS
SELECT
    exchange,
    condition,
    (exchange, condition) IN (('binance_usdm', 'INSURANCE_FUND'), ('binance_usdm', 'ADL'), ('binance_usdm', 'NA')) AS known,
    count() AS trades,
    min(timestamp) AS first_timestamp,
    max(timestamp) AS last_timestamp
FROM silver_trades FINAL
ARRAY JOIN conditions AS condition
GROUP BY exchange, condition;
