-- Exchanges whose frames are read here. Those of others are not checked by SQL.
CREATE OR REPLACE VIEW frame_check_exchanges AS
SELECT arrayJoin(['binance', 'binance_usdm', 'kraken', 'coinbase']) AS exchange;

-- Trades in the stored frames, read by SQL alone in unified terms. Each must be in silver_trades,
-- itself or as an equal duplicate, or be a dead letter. Values that cannot be read are null, 0 or
-- empty, as such a trade is a dead letter.
CREATE OR REPLACE VIEW frame_trades AS
SELECT
    exchange, connection, source, source_partition, source_offset, source_index, received_at,
    s AS native_symbol,
    toString(t) AS trade_id,
    toInt64(if(T < 1000000000000000, T * 1000, T)) AS time_us,
    toDecimal128OrNull(p, 12) AS price,
    toDecimal128OrNull(q, 12) AS quantity,
    toUInt8(NOT m) AS bought
FROM bronze_trades_binance
WHERE NOT startsWith(connection, 'rest/') AND NOT startsWith(connection, 'dump/')
UNION ALL
SELECT
    exchange, connection, source, source_partition, source_offset, source_index, received_at,
    symbol,
    -- Trades of v1 have no number. Their content is the id; the second equal one in a frame gets #1.
    if(
        protocol = 'v1',
        concat(content, if(again > 1, concat('#', toString(again - 1)), '')),
        toString(trade_id)
    ),
    if(
        protocol = 'v1',
        accurateCastOrDefault(ifNull(toDecimal128OrNull(timestamp, 6), 0) * 1000000, 'Int64'),
        ifNull(toUnixTimestamp64Micro(parseDateTime64BestEffortOrNull(timestamp, 6, 'UTC')), 0)
    ),
    toDecimal128OrNull(price, 12),
    toDecimal128OrNull(qty, 12),
    toUInt8(side IN ('buy', 'b'))
FROM
(
    SELECT
        *,
        concat(timestamp, '_', price, '_', qty, '_', side, '_', ord_type, '_', misc) AS content,
        row_number() OVER
        (
            PARTITION BY connection, source, source_partition, source_offset, received_at, symbol, content
            ORDER BY source_index
        ) AS again
    FROM bronze_trades_kraken
    WHERE NOT startsWith(connection, 'rest/')
)
UNION ALL
SELECT
    exchange, connection, source, source_partition, source_offset, source_index, received_at,
    product_id,
    trade_id,
    ifNull(toUnixTimestamp64Micro(parseDateTime64BestEffortOrNull(time, 6, 'UTC')), 0),
    toDecimal128OrNull(price, 12),
    toDecimal128OrNull(size, 12),
    -- side is the maker's: if the maker sold, the taker bought.
    toUInt8(lower(side) = 'sell')
FROM bronze_trades_coinbase
WHERE NOT startsWith(connection, 'rest/')
UNION ALL
-- REST responses and pieces of dump files; the connection names their market.
SELECT
    exchange, connection, source, source_partition, source_offset, toUInt16(place - 1), received_at,
    substring(connection, position(connection, '/') + 1),
    trade.1,
    trade.2,
    toDecimal128OrNull(trade.3, 12),
    toDecimal128OrNull(trade.4, 12),
    trade.5
FROM
(
    SELECT *,
        multiIf(
            startsWith(connection, 'dump/'),
            arrayMap(fields -> (
                fields[1],
                ifNull(toInt64OrNull(fields[5]), 0)
                    * if(ifNull(toInt64OrNull(fields[5]), 0) < 1000000000000000, 1000, 1),
                fields[2],
                fields[3],
                toUInt8(lower(fields[6]) = 'false')
            ), arrayMap(line -> splitByChar(',', line), splitByChar('\n', replaceAll(frame, '\r', '')))),
            exchange = 'kraken',
            arrayMap(fields -> (
                JSONExtractRaw(fields, 7),
                accurateCastOrDefault(ifNull(toDecimal128OrNull(JSONExtractRaw(fields, 3), 6), 0) * 1000000, 'Int64'),
                JSONExtractString(fields, 1),
                JSONExtractString(fields, 2),
                toUInt8(JSONExtractString(fields, 4) = 'b')
            ), JSONExtractArrayRaw(arrayFirst(
                (value, name) -> name != 'last',
                JSONExtractKeysAndValuesRaw(frame, 'result').2,
                JSONExtractKeysAndValuesRaw(frame, 'result').1
            ))),
            exchange = 'coinbase',
            arrayMap(fields -> (
                JSONExtractRaw(fields, 'trade_id'),
                ifNull(toUnixTimestamp64Micro(parseDateTime64BestEffortOrNull(JSONExtractString(fields, 'time'), 6, 'UTC')), 0),
                JSONExtractString(fields, 'price'),
                JSONExtractString(fields, 'size'),
                toUInt8(JSONExtractString(fields, 'side') = 'sell')
            ), JSONExtractArrayRaw(frame)),
            arrayMap(fields -> (
                JSONExtractRaw(fields, 'id'),
                JSONExtractInt(fields, 'time') * if(JSONExtractInt(fields, 'time') < 1000000000000000, 1000, 1),
                JSONExtractString(fields, 'price'),
                JSONExtractString(fields, 'qty'),
                toUInt8(NOT JSONExtractBool(fields, 'isBuyerMaker'))
            ), JSONExtractArrayRaw(frame))
        ) AS found
    FROM bronze_frames FINAL
    WHERE kind = 'trade' AND (startsWith(connection, 'rest/') OR startsWith(connection, 'dump/'))
        AND exchange IN (SELECT exchange FROM frame_check_exchanges)
)
ARRAY JOIN found AS trade, arrayEnumerate(found) AS place
-- Without empty lines of a dump file, and without its header.
WHERE NOT (startsWith(connection, 'dump/') AND (trade.1 = '' OR (place = 1 AND trade.1 = 'id')));

-- Trades of frames received in a span of time that are neither stored nor dead letters. A trade may
-- have been stored first from another feed: with milliseconds instead of microseconds or the other
-- way round, or one microsecond off (Kraken's REST sends times that have passed through a float).
CREATE OR REPLACE VIEW frame_trade_mismatches AS
WITH spanned AS
(
    SELECT * FROM frame_trades
    WHERE received_at >= {begin:DateTime64(6, 'UTC')} AND received_at < {end:DateTime64(6, 'UTC')}
)
SELECT
    exchange, native_symbol, trade_id, connection, source, source_partition, source_offset, source_index,
    'not_stored' AS problem,
    CAST([], 'Array(String)') AS fields,
    map() :: Map(String, String) AS stored_values,
    map('time_us', toString(time_us), 'price', toString(price), 'quantity', toString(quantity)) AS check_values
FROM spanned
WHERE sipHash64(exchange, native_symbol, trade_id, intDiv(time_us, 1000), assumeNotNull(price), assumeNotNull(quantity), bought) NOT IN
    (
        SELECT sipHash64(toString(exchange), toString(native_symbol), trade_id, ms, price, quantity, toUInt8(side = 'BUY'))
        FROM
        (
            SELECT exchange, native_symbol, trade_id, price, quantity, side, toUnixTimestamp64Micro(timestamp) AS us
            FROM silver_trades
            WHERE timestamp BETWEEN
                fromUnixTimestamp64Micro((SELECT min(time_us) FROM spanned) - 1000, 'UTC') AND
                fromUnixTimestamp64Micro((SELECT max(time_us) FROM spanned) + 1000, 'UTC')
        )
        ARRAY JOIN arrayDistinct([intDiv(us - 1, 1000), intDiv(us, 1000), intDiv(us + 1, 1000)]) AS ms
    )
    AND (exchange, connection, source, source_partition, source_offset, source_index) NOT IN
    (
        SELECT exchange, connection, source, source_partition, source_offset, source_index
        FROM dead_letters
        WHERE scope = 'trade'
    );
