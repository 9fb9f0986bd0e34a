-- Consolidated candles: all markets of one base asset, of one kind, in one or more quote assets, made
-- of their stored candles when they are read. Nothing of them is stored.
--
-- Parameters of `consolidated`: timeframe, as '1m'; base, as 'BTC'; quotes, as ['USD']; kind, 'spot' or
-- 'perpetual'; begin and end, the first window and the end of the last, DateTime in UTC.
--
-- Markets are chosen by their unified symbol: BTC/USD is spot, BTC/USD:USD is a perpetual that is
-- settled in its quote asset. Inverse contracts (BTC/USD:BTC) and futures that expire are not chosen.
-- Neither are markets whose trades count contracts and not the base asset (`consolidated_excluded`).

-- Kinds of markets of an exchange whose quantities are numbers of contracts: its `contract_kinds`.
CREATE OR REPLACE VIEW consolidated_excluded AS
SELECT exchange, kind FROM VALUES('exchange String, kind String', ('okx', 'perpetual'), ('binance_coinm', 'perpetual'));

-- One candle for each window in which a market has one.
--
-- A market takes part in a window if it has a candle, if it was subscribed, or if the window lies
-- between two of its candles that are at most a day, or 60 windows, apart. Without a candle its state
-- is 'empty' if the numbers of the trades before and after follow each other, else 'absent'.
--
-- `proof` is what shows that a part has all trades of its market: numbers, if its state is 'complete' or
-- 'empty'; else the exchange, if each minute of the window was compared with the exchange's own candle, as
-- it is now, and is equal. version is 2 * trades + closed, so the sum of the compared ones shows that. A
-- part with a minute that differs has no proof. The candle is trusted if every part has one.
--
-- open is that of the part whose first trade is the earliest, close that of the part whose last trade
-- is the latest; if two have the same time, the order of exchange and symbol decides. vwap, share and
-- spread_bps are truncated after 12 decimals. The close of a part is its last trade in the window, so
-- closes that differ need not be of the same moment.
CREATE OR REPLACE VIEW consolidated AS
WITH
    -- The index of the candles is used only with functions that are evaluated before: transform is not.
    multiIf(
        {timeframe:String} = '1m', 60, {timeframe:String} = '5m', 300, {timeframe:String} = '15m', 900,
        {timeframe:String} = '30m', 1800, {timeframe:String} = '1h', 3600, 86400
    ) AS step,
    greatest(86400, 60 * step) AS reach,
    toInt64(toUnixTimestamp({begin:DateTime('UTC')})) AS first_start,
    toInt64(toUnixTimestamp({end:DateTime('UTC')})) AS last_end,
    arrayMap(
        quote -> concat({base:String}, '/', quote, if({kind:String} = 'perpetual', concat(':', quote), '')),
        if({kind:String} IN ('spot', 'perpetual'), {quotes:Array(String)}, [])
    ) AS symbols,
    (
        SELECT groupArray((toString(exchange), toString(symbol), toUnixTimestamp(began), toUnixTimestamp(ended)))
        FROM subscription_spans
        WHERE has(symbols, symbol::String)
            AND (exchange::String, {kind:String}) NOT IN (SELECT exchange, kind FROM consolidated_excluded)
    ) AS spans
SELECT
    toDateTime(at, 'UTC') AS window_start,
    toDateTime(at + step, 'UTC') AS window_end,
    traded.open AS open,
    traded.high AS high,
    traded.low AS low,
    traded.close AS close,
    traded.volume AS volume,
    traded.quote_volume AS quote_volume,
    toDecimal128(divideDecimal(traded.quote_volume, traded.volume, 12), 12) AS vwap,
    traded.trade_count AS trade_count,
    traded.buy_volume AS buy_volume,
    traded.buy_quote_volume AS buy_quote_volume,
    traded.open_time AS open_time,
    traded.close_time AS close_time,
    toBool(NOT has(states, 'forming')) AS closed,
    multiIf(
        has(states, 'forming'), 'forming',
        NOT has(proofs, 'none'), 'complete',
        has(unproven, 'unverified'), 'unverified',
        has(unproven, 'gaps'), 'gaps',
        has(unproven, 'partial') OR has(unproven, 'absent'), 'partial',
        -- The exchange's candle differs from one that is complete by its numbers.
        'unverified'
    ) AS status,
    toBool(status = 'complete') AS trusted,
    traded.missing AS missing,
    traded.repaired AS repaired,
    traded.venues AS venues,
    countEqual(states, 'absent') AS absent,
    traded.high_close AS high_close,
    traded.highest.1 AS high_close_exchange,
    traded.highest.2 AS high_close_symbol,
    traded.low_close AS low_close,
    traded.lowest.1 AS low_close_exchange,
    traded.lowest.2 AS low_close_symbol,
    if(traded.venues > 1, traded.high_close - traded.low_close, NULL) AS spread,
    if(
        traded.venues > 1,
        toDecimal128(divideDecimal(
            toDecimal256(traded.high_close - traded.low_close, 12) * 10000, traded.low_close, 12
        ), 12),
        NULL
    ) AS spread_bps,
    CAST(
        arrayMap(
            one -> (one.1, one.2, one.3, one.4, one.5, one.6, one.7, one.8, one.9,
                toDecimal128(divideDecimal(one.6, traded.volume, 12), 12), one.10),
            rows
        ),
        'Array(Tuple(exchange String, symbol String, state String, close Nullable(Decimal(38, 12)),
            close_time Nullable(DateTime64(6, \'UTC\')), volume Decimal(38, 12), quote_volume Decimal(38, 18),
            trade_count UInt64, missing UInt64, share Decimal(38, 12), proof String))'
    ) AS parts
FROM
(
    SELECT
        at,
        argMinIf(part.open, (part.open_time, venue, market), is_candle) AS open,
        maxIf(part.high, is_candle) AS high,
        minIf(part.low, is_candle) AS low,
        argMaxIf(part.close, (part.close_time, venue, market), is_candle) AS close,
        sumIf(part.volume, is_candle) AS volume,
        sumIf(part.quote_volume, is_candle) AS quote_volume,
        sumIf(part.trade_count, is_candle) AS trade_count,
        sumIf(part.buy_volume, is_candle) AS buy_volume,
        sumIf(part.buy_quote_volume, is_candle) AS buy_quote_volume,
        minIf(part.open_time, is_candle) AS open_time,
        maxIf(part.close_time, is_candle) AS close_time,
        sumIf(part.missing, is_candle) AS missing,
        toUInt64(sumIf(part.repaired, is_candle)) AS repaired,
        countIf(is_candle) AS venues,
        maxIf(part.close, is_candle) AS high_close,
        argMinIf((venue, market), (-part.close, venue, market), is_candle) AS highest,
        minIf(part.close, is_candle) AS low_close,
        argMinIf((venue, market), (part.close, venue, market), is_candle) AS lowest,
        groupArray((venue, market)) AS heard,
        groupArray((
            venue, market, state,
            if(is_candle, part.close, NULL),
            if(is_candle, part.close_time, NULL),
            if(is_candle, part.volume, toDecimal128(0, 12)),
            if(is_candle, part.quote_volume, toDecimal128(0, 18)),
            if(is_candle, part.trade_count, 0),
            if(is_candle, part.missing, 0),
            multiIf(
                if(step > 60, notEmpty(compared.differing_versions),
                    has(compared.differing_versions, if(is_candle, 2 * part.trade_count + 1, 0))), 'none',
                state IN ('complete', 'empty'), 'numbers',
                is_candle AND state != 'forming' AND compared.minutes = step / 60
                    AND compared.versions = 2 * part.trade_count + compared.minutes, 'exchange',
                'none'
            )
        )) AS known,
        arraySort(one -> (one.1, one.2), arrayConcat(
            known,
            arrayMap(
                market -> (market.1, market.2, 'absent', NULL, NULL, toDecimal128(0, 12), toDecimal128(0, 18), 0, 0, 'none'),
                arrayDistinct(arrayMap(
                    span -> (span.1, span.2),
                    arrayFilter(
                        span -> span.3 < at + step AND span.4 > at AND NOT has(heard, (span.1, span.2)), spans
                    )
                ))
            )
        )) AS rows,
        arrayMap(one -> one.3, rows) AS states,
        arrayMap(one -> one.10, rows) AS proofs,
        arrayMap(one -> one.3, arrayFilter(one -> one.10 = 'none', rows)) AS unproven
    FROM
    (
        SELECT
            chosen.*,
            at,
            at = start AS is_candle,
            multiIf(
                is_candle, toString(chosen.status),
                chosen.last_sequence > 0 AND next_sequence = chosen.last_sequence + 1, 'empty',
                'absent'
            ) AS state
        FROM
        (
            SELECT
                toString(candle.exchange) AS venue,
                toString(candle.symbol) AS market,
                toInt64(toUnixTimestamp(candle.window_start)) AS start,
                leadInFrame(start, 1, start + step) OVER following AS next_start,
                leadInFrame(candle.first_sequence, 1, 0) OVER following AS next_sequence,
                candle.open, candle.high, candle.low, candle.close, candle.volume, candle.quote_volume,
                candle.trade_count, candle.buy_volume, candle.buy_quote_volume, candle.open_time,
                candle.close_time, candle.last_sequence, candle.status, candle.missing, candle.repaired
            FROM candles AS candle
            WHERE candle.timeframe = {timeframe:String} AND has(symbols, candle.symbol::String)
                AND (candle.exchange::String, {kind:String}) NOT IN (SELECT exchange, kind FROM consolidated_excluded)
                AND candle.window_start >= toDateTime(greatest(0, first_start - reach), 'UTC')
                AND candle.window_start < toDateTime(least(4294967295, last_end + reach), 'UTC')
            WINDOW following AS
            (
                PARTITION BY candle.exchange, candle.symbol
                ORDER BY candle.window_start
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
            )
        ) AS chosen
        ARRAY JOIN range(start, if(next_start <= start + reach, next_start, start + step), step) AS at
        WHERE at >= first_start AND at < last_end
    ) AS part
    LEFT JOIN
    (
        SELECT
            toString(one.exchange) AS venue,
            toString(one.symbol) AS market,
            intDiv(toInt64(toUnixTimestamp(one.window_start)), step) * step AS at,
            countIf(one.result = 'equal') AS minutes,
            sumIf(one.version, one.result = 'equal') AS versions,
            -- Of a minute that has changed since, nothing is known.
            groupUniqArrayIf(one.version, one.result = 'differs') AS differing_versions
        FROM (SELECT * FROM reconciliations FINAL) AS one
        WHERE has(symbols, one.symbol::String)
            AND one.window_start >= toDateTime(greatest(0, first_start), 'UTC')
            AND one.window_start < toDateTime(least(4294967295, last_end), 'UTC')
        GROUP BY venue, market, at
    ) AS compared USING (venue, market, at)
    GROUP BY at
    HAVING venues > 0
) AS traded;
