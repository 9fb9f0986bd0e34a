-- Candles of higher timeframes that differ from the combination of their one-minute candles. A candle
-- is left out if its minutes may be past their retention.
CREATE OR REPLACE VIEW timeframe_mismatches AS
WITH
    ['open', 'high', 'low', 'close', 'volume', 'quote_volume', 'trade_count', 'buy_volume',
     'buy_quote_volume', 'open_time', 'close_time', 'first_sequence', 'last_sequence', 'repaired'] AS names,
    [toString(gold.open), toString(gold.high), toString(gold.low), toString(gold.close),
     toString(gold.volume), toString(gold.quote_volume), toString(gold.trade_count),
     toString(gold.buy_volume), toString(gold.buy_quote_volume), toString(gold.open_time),
     toString(gold.close_time), toString(gold.first_sequence), toString(gold.last_sequence), toString(gold.repaired)] AS stored,
    [toString(minutes.open), toString(minutes.high), toString(minutes.low), toString(minutes.close),
     toString(minutes.volume), toString(minutes.quote_volume), toString(minutes.trade_count),
     toString(minutes.buy_volume), toString(minutes.buy_quote_volume), toString(minutes.open_time),
     toString(minutes.close_time), toString(minutes.first_sequence), toString(minutes.last_sequence), toString(minutes.repaired)] AS computed,
    arrayFilter((name, a, b) -> a != b, names, stored, computed) AS differing
SELECT
    if(gold.present, toString(gold.timeframe), minutes.timeframe) AS timeframe,
    if(gold.present, gold.exchange, minutes.exchange) AS exchange,
    if(gold.present, gold.symbol, minutes.symbol) AS symbol,
    if(gold.present, gold.window_start, minutes.window_start) AS window_start,
    multiIf(NOT gold.present, 'missing', NOT minutes.present, 'no_minutes', 'mismatch') AS problem,
    differing AS fields,
    if(gold.present, mapFromArrays(names, stored), map()) AS stored_values,
    if(minutes.present, mapFromArrays(names, computed), map()) AS check_values
FROM
(
    SELECT *, true AS present
    FROM ohlcv FINAL
    WHERE timeframe != '1m'
) AS gold
FULL JOIN
(
    SELECT
        frame.1 AS timeframe,
        minute.exchange AS exchange,
        minute.symbol AS symbol,
        toDateTime(intDiv(toUnixTimestamp(minute.window_start), frame.2) * frame.2, 'UTC') AS window_start,
        argMin(minute.open, minute.window_start) AS open,
        max(minute.high) AS high,
        min(minute.low) AS low,
        argMax(minute.close, minute.window_start) AS close,
        sum(minute.volume) AS volume,
        sum(minute.quote_volume) AS quote_volume,
        sum(minute.trade_count) AS trade_count,
        sum(minute.buy_volume) AS buy_volume,
        sum(minute.buy_quote_volume) AS buy_quote_volume,
        min(minute.open_time) AS open_time,
        max(minute.close_time) AS close_time,
        argMin(minute.first_sequence, minute.window_start) AS first_sequence,
        argMax(minute.last_sequence, minute.window_start) AS last_sequence,
        sum(minute.repaired) AS repaired,
        max(minute.updated_at) AS latest,
        true AS present
    FROM (SELECT * FROM ohlcv FINAL WHERE timeframe = '1m') AS minute
    ARRAY JOIN [('5m', 300), ('15m', 900), ('30m', 1800), ('1h', 3600), ('1d', 86400)] AS frame
    GROUP BY frame, exchange, symbol, window_start
) AS minutes
    ON toString(gold.timeframe) = minutes.timeframe AND gold.exchange = minutes.exchange
    AND gold.symbol = minutes.symbol AND gold.window_start = minutes.window_start
WHERE notEmpty(differing)
    AND if(gold.present, gold.updated_at, minutes.latest) > (SELECT since + INTERVAL 2 DAY FROM retention WHERE table = 'ohlcv')
SETTINGS join_use_nulls = 0;
