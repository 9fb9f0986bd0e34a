-- Conditions that kept trades out of candles, with known = 1 if their meaning is known. Trades of an
-- unknown condition may belong in candles: see the notes of the exchange.
CREATE OR REPLACE VIEW trade_conditions AS
SELECT
    exchange,
    condition,
    (exchange, condition) IN (('binance_usdm', 'INSURANCE_FUND'), ('binance_usdm', 'ADL'), ('binance_usdm', 'NA'),
        ('binance_coinm', 'INSURANCE_FUND'), ('binance_coinm', 'ADL'), ('binance_coinm', 'NA'),
        ('kraken_futures', 'termination'), ('kraken_futures', 'block'), ('kraken_futures', 'assignment'),
        ('bybit', 'BLOCK'), ('bybit_linear', 'BLOCK')) AS known,
    count() AS trades,
    min(timestamp) AS first_timestamp,
    max(timestamp) AS last_timestamp
FROM silver_trades FINAL
ARRAY JOIN conditions AS condition
GROUP BY exchange, condition;
