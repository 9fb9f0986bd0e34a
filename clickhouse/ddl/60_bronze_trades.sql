-- Trades in the fields of the exchanges, read from the stored frames by SQL alone and so independent
-- of the decoder. Amounts stay text, digit for digit. Bad trades of a frame with good ones are
-- included.
CREATE VIEW IF NOT EXISTS bronze_trades_binance AS
WITH if(JSONHas(frame, 'stream') AND JSONHas(frame, 'data'), JSONExtractRaw(frame, 'data'), frame) AS trade
SELECT
    exchange,
    connection,
    source,
    source_partition,
    source_offset,
    toUInt16(0) AS source_index,
    received_at,
    JSONExtractUInt(trade, 'E') AS E,
    JSONExtractString(trade, 's') AS s,
    JSONExtractUInt(trade, 't') AS t,
    JSONExtractString(trade, 'p') AS p,
    JSONExtractString(trade, 'q') AS q,
    JSONExtractUInt(trade, 'T') AS T,
    JSONExtractString(trade, 'X') AS X,
    JSONExtractBool(trade, 'm') AS m
FROM bronze_frames FINAL
WHERE exchange IN ('binance', 'binance_usdm') AND kind = 'trade';

--
-- Amounts of v2 are JSON numbers. They are extracted as text, as parsing the JSON would turn them
-- into floats.
CREATE VIEW IF NOT EXISTS bronze_trades_kraken AS
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
CREATE VIEW IF NOT EXISTS bronze_trades_coinbase AS
SELECT
    exchange,
    connection,
    source,
    source_partition,
    source_offset,
    toUInt16(place - 1) AS source_index,
    received_at,
    if(JSONHas(frame, 'events'), 'advanced', 'exchange') AS protocol,
    JSONExtractString(trade, 'product_id') AS product_id,
    if(
        JSONType(trade, 'trade_id') = 'String',
        JSONExtractString(trade, 'trade_id'),
        JSONExtractRaw(trade, 'trade_id')
    ) AS trade_id,
    JSONExtractString(trade, 'price') AS price,
    JSONExtractString(trade, 'size') AS size,
    JSONExtractString(trade, 'side') AS side,
    JSONExtractString(trade, 'time') AS time,
    JSONExtractUInt(trade, 'sequence') AS sequence,
    JSONExtractString(trade, 'maker_order_id') AS maker_order_id,
    JSONExtractString(trade, 'taker_order_id') AS taker_order_id
FROM
(
    SELECT
        *,
        if(
            JSONHas(frame, 'events'),
            arrayFlatten(
                arrayMap(
                    event -> JSONExtractArrayRaw(event, 'trades'),
                    JSONExtractArrayRaw(frame, 'events')
                )
            ),
            [frame]
        ) AS found
    FROM bronze_frames FINAL
    WHERE exchange = 'coinbase' AND kind = 'trade'
)
ARRAY JOIN found AS trade, arrayEnumerate(found) AS place;
