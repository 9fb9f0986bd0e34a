-- Consolidated candles: all markets of one base asset, of one kind, in one or more quote assets, made
-- of their stored candles when they are read. Nothing of them is stored.
--
-- Parameters of both views: timeframe, as '1m'; base, as 'BTC'; quotes, as ['USD']; kind, 'spot' or
-- 'perpetual'; begin and end, the first window and the one after the last, DateTime in UTC.
--
-- Markets are chosen by their unified symbol: BTC/USD is spot, BTC/USD:USD is a perpetual that is
-- settled in its quote asset. Inverse contracts (BTC/USD:BTC) and futures that expire are not chosen.
-- Neither are markets whose trades count contracts and not the base asset (`consolidated_excluded`).

-- Kinds of markets of an exchange whose quantities are numbers of contracts: its `contract_kinds`.
CREATE OR REPLACE VIEW consolidated_excluded AS
SELECT exchange, kind FROM VALUES('exchange String, kind String', ('okx', 'perpetual'));

-- The part of each market in each window in which any of them has a candle. A market takes part if it
-- has a candle, if it was subscribed, or if the window lies between two of its candles that are at
-- most a day, or 60 windows, apart. state says what is known of a market without a candle: 'empty' if
-- the numbers of the trades before and after follow each other, else 'absent'.
CREATE OR REPLACE VIEW consolidated_parts AS
WITH
    transform({timeframe:String}, ['1m', '5m', '15m', '30m', '1h', '1d'], [60, 300, 900, 1800, 3600, 86400], 0) AS length,
    greatest(86400, 60 * length) AS reach,
    toUnixTimestamp({begin:DateTime('UTC')}) AS first_start,
    toUnixTimestamp({end:DateTime('UTC')}) AS last_end,
    arrayMap(
        quote -> if(
            {kind:String} = 'perpetual',
            concat({base:String}, '/', quote, ':', quote),
            concat({base:String}, '/', quote)
        ),
        {quotes:Array(String)}
    ) AS symbols,
    chosen AS
    (
        SELECT
            toString(candle.exchange) AS venue,
            toString(candle.symbol) AS market,
            toUnixTimestamp(candle.window_start) AS start,
            leadInFrame(start, 1, start) OVER following AS next_start,
            leadInFrame(candle.first_sequence, 1, candle.first_sequence) OVER following AS next_sequence,
            candle.*
        FROM candles AS candle
        WHERE candle.timeframe = {timeframe:String} AND has(symbols, candle.symbol::String)
            AND {kind:String} IN ('spot', 'perpetual')
            AND (candle.exchange::String, {kind:String}) NOT IN (SELECT exchange, kind FROM consolidated_excluded)
            AND candle.window_start >= toDateTime(greatest(0, toInt64(first_start) - reach), 'UTC')
            AND candle.window_start < toDateTime(least(4294967295, toInt64(last_end) + reach), 'UTC')
        WINDOW following AS
        (
            PARTITION BY candle.exchange, candle.symbol
            ORDER BY candle.window_start
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        )
    ),
    windows AS
    (
        SELECT DISTINCT start FROM chosen WHERE start >= first_start AND start < last_end
    ),
    without_candle AS
    (
        SELECT start, venue, market, if(max(proven), 'empty', 'absent') AS known
        FROM
        (
            SELECT
                arrayJoin(range(toUInt32(chosen.start + length), chosen.next_start, toUInt32(length))) AS start,
                venue,
                market,
                last_sequence > 0 AND next_sequence = last_sequence + 1 AS proven
            FROM chosen
            WHERE next_start <= chosen.start + reach
            UNION ALL
            SELECT windows.start, toString(exchange), toString(symbol), false
            FROM subscription_spans
            CROSS JOIN windows
            WHERE has(symbols, symbol::String)
                AND (exchange::String, {kind:String}) NOT IN (SELECT exchange, kind FROM consolidated_excluded)
                AND toUnixTimestamp(began) < windows.start + length
                AND toUnixTimestamp(ended) > windows.start
        )
        WHERE start IN (SELECT start FROM windows)
            AND (start, venue, market) NOT IN (SELECT start, venue, market FROM chosen)
        GROUP BY start, venue, market
    )
SELECT
    toDateTime(chosen.start, 'UTC') AS window_start,
    venue AS exchange,
    market AS symbol,
    toString(status) AS state,
    toNullable(open) AS open,
    toNullable(high) AS high,
    toNullable(low) AS low,
    toNullable(close) AS close,
    volume, quote_volume, trade_count, buy_volume, buy_quote_volume,
    toNullable(open_time) AS open_time,
    toNullable(close_time) AS close_time,
    repaired, missing, feed_down_ms
FROM chosen
WHERE chosen.start >= first_start AND chosen.start < last_end
UNION ALL
SELECT
    toDateTime(start, 'UTC'), venue, market, known,
    NULL, NULL, NULL, NULL,
    toDecimal128(0, 12), toDecimal128(0, 18), 0, toDecimal128(0, 12), toDecimal128(0, 18),
    NULL, NULL,
    0, 0, 0
FROM without_candle;

-- One candle a window.
--
-- open is that of the part whose first trade is the earliest, close that of the part whose last trade
-- is the latest; if two have the same time, the order of exchange and symbol decides. vwap, share and
-- spread_bps are truncated after 12 decimals. The close of a part is its last trade in the window, so
-- closes that differ need not be of the same moment.
CREATE OR REPLACE VIEW consolidated AS
SELECT * EXCEPT (rows, traded)
FROM
(
    SELECT
        window_start,
        window_start + toIntervalSecond(
            transform({timeframe:String}, ['1m', '5m', '15m', '30m', '1h', '1d'], [60, 300, 900, 1800, 3600, 86400], 0)
        ) AS window_end,
        arraySort(one -> (one.1, one.2), groupArray((
            exchange, symbol, state, part.close, part.close_time,
            part.volume, part.quote_volume, part.trade_count, part.missing
        ))) AS rows,
        arrayFilter(one -> one.4 IS NOT NULL, rows) AS traded,
        argMinIf(assumeNotNull(part.open), (part.open_time, exchange, symbol), part.open IS NOT NULL) AS open,
        assumeNotNull(max(part.high)) AS high,
        assumeNotNull(min(part.low)) AS low,
        argMaxIf(assumeNotNull(part.close), (part.close_time, exchange, symbol), part.close IS NOT NULL) AS close,
        sum(part.volume) AS volume,
        sum(part.quote_volume) AS quote_volume,
        toDecimal128(divideDecimal(quote_volume, volume, 12), 12) AS vwap,
        sum(part.trade_count) AS trade_count,
        sum(part.buy_volume) AS buy_volume,
        sum(part.buy_quote_volume) AS buy_quote_volume,
        assumeNotNull(min(part.open_time)) AS open_time,
        assumeNotNull(max(part.close_time)) AS close_time,
        toBool(countIf(state = 'forming') = 0) AS closed,
        multiIf(
            NOT closed, 'forming',
            countIf(state = 'unverified') > 0, 'unverified',
            countIf(state = 'gaps') > 0, 'gaps',
            countIf(state IN ('partial', 'absent')) > 0, 'partial',
            'complete'
        ) AS status,
        toBool(status = 'complete') AS trusted,
        sum(part.missing) AS missing,
        toUInt64(sum(part.repaired)) AS repaired,
        length(traded) AS venues,
        countIf(state = 'absent') AS absent,
        arrayMax(one -> assumeNotNull(one.4), traded) AS high_close,
        arrayFirst(one -> one.4 = high_close, traded).1 AS high_close_exchange,
        arrayFirst(one -> one.4 = high_close, traded).2 AS high_close_symbol,
        arrayMin(one -> assumeNotNull(one.4), traded) AS low_close,
        arrayFirst(one -> one.4 = low_close, traded).1 AS low_close_exchange,
        arrayFirst(one -> one.4 = low_close, traded).2 AS low_close_symbol,
        if(venues > 1, high_close - low_close, NULL) AS spread,
        if(
            venues > 1,
            toDecimal128(divideDecimal(toDecimal256(high_close - low_close, 12) * 10000, low_close, 12), 12),
            NULL
        ) AS spread_bps,
        CAST(
            arrayMap(
                one -> (one.1, one.2, one.3, one.4, one.5, one.6, one.7, one.8, one.9,
                    toDecimal128(divideDecimal(one.6, volume, 12), 12)),
                rows
            ),
            'Array(Tuple(exchange String, symbol String, state String, close Nullable(Decimal(38, 12)),
                close_time Nullable(DateTime64(6, \'UTC\')), volume Decimal(38, 12), quote_volume Decimal(38, 18),
                trade_count UInt64, missing UInt64, share Decimal(38, 12)))'
        ) AS parts
    FROM consolidated_parts(
        timeframe = {timeframe:String}, base = {base:String}, quotes = {quotes:Array(String)},
        kind = {kind:String}, begin = {begin:DateTime('UTC')}, end = {end:DateTime('UTC')}
    ) AS part
    GROUP BY window_start
    HAVING countIf(part.close IS NOT NULL) > 0
);
