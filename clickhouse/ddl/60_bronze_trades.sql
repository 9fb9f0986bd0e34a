-- Trades in the fields of the exchanges, read from the stored frames by SQL alone and so independent
-- of the decoder. Amounts stay text, digit for digit. Bad trades of a frame with good ones are
-- included.
--
-- Binance: a frame is parsed once for all fields of its trade.
CREATE OR REPLACE VIEW bronze_trades_binance AS
WITH if(
    JSONHas(frame, 'stream') AND JSONHas(frame, 'data'),
    JSONExtract(frame, 'data', 'Tuple(E UInt64, s String, t UInt64, p String, q String, T UInt64, X String, m Bool)'),
    JSONExtract(frame, 'Tuple(E UInt64, s String, t UInt64, p String, q String, T UInt64, X String, m Bool)')
) AS trade
SELECT
    exchange,
    connection,
    source,
    source_partition,
    source_offset,
    toUInt16(0) AS source_index,
    received_at,
    trade.E AS E,
    trade.s AS s,
    trade.t AS t,
    trade.p AS p,
    trade.q AS q,
    trade.T AS T,
    trade.X AS X,
    toUInt8(trade.m) AS m
FROM bronze_frames FINAL
WHERE exchange IN ('binance', 'binance_usdm') AND kind = 'trade';

--
-- Amounts of v2 are JSON numbers. They are extracted as text, as parsing the JSON would turn them
-- into floats.
CREATE OR REPLACE VIEW bronze_trades_kraken AS
WITH startsWith(trimLeft(frame), '[') AS v1
SELECT
    exchange,
    connection,
    source,
    source_partition,
    source_offset,
    toUInt16(place - 1) AS source_index,
    received_at,
    if(v1, 'v1', 'v2') AS protocol,
    if(v1, JSONExtractString(frame, -1), JSONExtractString(trade, 'symbol')) AS symbol,
    if(v1, JSONExtractString(trade, 4), JSONExtractString(trade, 'side')) AS side,
    if(v1, JSONExtractString(trade, 1), extractAll(frame, '"price"\\s*:\\s*([-+.0-9eE]+)')[place]) AS price,
    if(v1, JSONExtractString(trade, 2), extractAll(frame, '"qty"\\s*:\\s*([-+.0-9eE]+)')[place]) AS qty,
    if(v1, JSONExtractString(trade, 5), JSONExtractString(trade, 'ord_type')) AS ord_type,
    if(v1, 0, JSONExtractUInt(trade, 'trade_id')) AS trade_id,
    if(v1, JSONExtractString(trade, 3), JSONExtractString(trade, 'timestamp')) AS timestamp,
    if(v1, JSONExtractString(trade, 6), '') AS misc
FROM bronze_frames FINAL
ARRAY JOIN
    if(startsWith(trimLeft(frame), '['), JSONExtractArrayRaw(frame, 2), JSONExtractArrayRaw(frame, 'data')) AS trade,
    arrayEnumerate(
        if(startsWith(trimLeft(frame), '['), JSONExtractArrayRaw(frame, 2), JSONExtractArrayRaw(frame, 'data'))
    ) AS place
WHERE exchange = 'kraken' AND kind = 'trade';

-- Trades of Advanced Trade (market_trades, all events of a frame in order) and of Exchange (match,
-- last_match: one trade a frame). side is the maker's.
CREATE OR REPLACE VIEW bronze_trades_coinbase AS
SELECT
    exchange,
    connection,
    source,
    source_partition,
    source_offset,
    toUInt16(place - 1) AS source_index,
    received_at,
    protocol,
    trade.product_id AS product_id,
    trade.trade_id AS trade_id,
    trade.price AS price,
    trade.size AS size,
    trade.side AS side,
    trade.time AS time,
    trade.sequence AS sequence,
    trade.maker_order_id AS maker_order_id,
    trade.taker_order_id AS taker_order_id
FROM
(
    WITH
        'product_id String, trade_id String, price String, size String, side String, time String, sequence UInt64, maker_order_id String, taker_order_id String' AS fields
    SELECT
        *,
        if(JSONHas(frame, 'events'), 'advanced', 'exchange') AS protocol,
        if(
            protocol = 'advanced',
            arrayFlatten(
                arrayMap(
                    event -> event.1,
                    JSONExtract(frame, 'events', concat('Array(Tuple(trades Array(Tuple(', fields, '))))'))
                )
            ),
            [JSONExtract(frame, concat('Tuple(', fields, ')'))]
        ) AS found
    FROM bronze_frames FINAL
    WHERE exchange = 'coinbase' AND kind = 'trade'
)
ARRAY JOIN found AS trade, arrayEnumerate(found) AS place;
