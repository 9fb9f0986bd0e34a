-- Candles whose certificate does not match the stored trades and outages, by SQL that shares nothing
-- with the dataflow. It reads the missing ranges from missing_range_check.
--
-- The missing ranges that overlap a window are those that began before its end, less those that
-- ended before its start. The time without connection up to a moment is the length of all outages
-- that began before it, less the part of the last one after it. An outage counts at the latest
-- once a trade was received after it; before that it may count.
--
-- If our clock closes a candle during an outage, it is partial until the number of the market's next
-- trade shows what was missed. So it may be partial as long as no later trade is stored. Trades past
-- their retention cannot be compared: a candle is left out if it was last written long ago, and
-- so is the start of a feed that may only be the oldest trade left.
CREATE OR REPLACE VIEW certificate_mismatches AS
WITH
    (SELECT assumeNotNull(since) + INTERVAL 2 DAY FROM retention WHERE table = 'silver_trades') AS oldest,
    ['missing', 'status', 'feed_down_ms', 'repaired'] AS names,
    candles AS
    (
        SELECT
            timeframe, exchange, symbol, window_start, closed, missing, status, feed_down_ms, repaired,
            toDateTime64(window_start, 6, 'UTC') AS start,
            start + toIntervalSecond(
                transform(toInt8(timeframe), [1, 2, 3, 4, 5, 6], [60, 300, 900, 1800, 3600, 86400], 0)
            ) AS end
        FROM ohlcv FINAL
        WHERE updated_at > oldest
    ),
    minutes AS
    (
        SELECT
            exchange,
            symbol,
            toUnixTimestamp(toStartOfMinute(timestamp)) AS minute,
            countIf(sequence = 0) AS unnumbered,
            countIf(via != 'websocket') AS repaired
        FROM silver_trades FINAL
        WHERE empty(conditions)
        GROUP BY exchange, symbol, minute
        HAVING unnumbered + repaired > 0
    ),
    counted AS
    (
        SELECT
            frame.1 AS timeframe,
            exchange,
            symbol,
            toDateTime(intDiv(minute, frame.2) * frame.2, 'UTC') AS window_start,
            sum(minutes.unnumbered) AS unnumbered,
            sum(minutes.repaired) AS repaired
        FROM minutes
        ARRAY JOIN [('1m', 60), ('5m', 300), ('15m', 900), ('30m', 1800), ('1h', 3600), ('1d', 86400)] AS frame
        GROUP BY frame, exchange, symbol, window_start
    ),
    -- Times at which the feed of a market began with a number above 1 or a later numbering began, and
    -- at which a numbering ended and another one followed. Trades missing there cannot be detected.
    unproven AS
    (
        SELECT exchange, symbol,
            groupArrayArray(arrayConcat(
                if(lowest > 1 OR follows, [(begin, certain_begin)], []),
                if(followed, [(end, certain_end)], [])
            )) AS moments
        FROM
        (
            SELECT
                exchange,
                symbol,
                min(sequence) AS lowest,
                argMin(timestamp, sequence) AS begin,
                argMin(inserted_at, sequence) > oldest AS certain_begin,
                argMax(timestamp, sequence) AS end,
                argMax(inserted_at, sequence) > oldest AS certain_end,
                row_number() OVER (PARTITION BY exchange, symbol ORDER BY end DESC, numbering DESC) > 1 AS followed,
                row_number() OVER (PARTITION BY exchange, symbol ORDER BY end, numbering) > 1 AS follows
            FROM silver_trades FINAL
            WHERE sequence > 0
            GROUP BY exchange, symbol, numbering
        )
        GROUP BY exchange, symbol
    ),
    contradicted AS
    (
        SELECT DISTINCT exchange, symbol, arrayJoin([stored_timestamp, timestamp]) AS time
        FROM contradictions
    ),
    markets AS
    (
        SELECT exchange, symbol, max(timestamp) AS latest, maxIf(received_at, via = 'websocket' AND sequence > 0) AS heard
        FROM silver_trades
        GROUP BY exchange, symbol
    ),
    -- Market outages without a trade with a number received by websocket since.
    unsubscribed AS
    (
        SELECT exchange, symbol, groupArray((since, if(ended = 0, toDateTime64('2100-01-01 00:00:00', 6, 'UTC'), ended))) AS spans
        FROM
        (
            SELECT exchange, symbol, min(stored.since) AS since, max(stored.ended) AS ended
            FROM market_outages AS stored
            GROUP BY exchange, symbol, stored.began
        ) AS outage
        JOIN markets USING (exchange, symbol)
        WHERE ended = 0 OR ended > heard
        GROUP BY exchange, symbol
    ),
    begun AS
    (
        SELECT exchange, symbol, before AS time,
            sum(sum(last_sequence - first_sequence + 1)) OVER
                (PARTITION BY exchange, symbol ORDER BY before ROWS UNBOUNDED PRECEDING) AS total
        FROM missing_range_check
        GROUP BY exchange, symbol, before
    ),
    over AS
    (
        SELECT exchange, symbol, after AS time,
            sum(sum(last_sequence - first_sequence + 1)) OVER
                (PARTITION BY exchange, symbol ORDER BY after ROWS UNBOUNDED PRECEDING) AS total
        FROM missing_range_check
        GROUP BY exchange, symbol, after
    ),
    heard AS
    (
        SELECT exchange, max(least(timestamp, received_at)) AS latest
        FROM silver_trades
        GROUP BY exchange
    ),
    -- Outages of each market; if its exchange is read in shards, those of its shard.
    cut_off AS
    (
        SELECT exchange, symbol, outages.began AS began, outages.ended AS ended
        FROM markets
        JOIN outages FINAL USING (exchange)
        WHERE modulo(CRC32(toString(symbol)), greatest(outages.shards, 1)) = outages.shard
    ),
    apart AS
    (
        SELECT exchange, symbol,
            greatest(cut_off.began, ifNull(max(cut_off.ended) OVER
                (PARTITION BY exchange, symbol ORDER BY cut_off.began ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                cut_off.began)) AS began,
            cut_off.ended AS ended
        FROM cut_off
        JOIN heard USING exchange
        WHERE cut_off.ended <= heard.latest
    ),
    down AS
    (
        SELECT exchange, symbol, began, ended,
            sum(dateDiff('microsecond', began, ended)) OVER
                (PARTITION BY exchange, symbol ORDER BY began ROWS UNBOUNDED PRECEDING) AS total
        FROM apart
        WHERE ended > began
    ),
    pending AS
    (
        SELECT exchange, symbol, groupArray((cut_off.began, cut_off.ended)) AS spans
        FROM cut_off
        JOIN heard USING exchange
        WHERE cut_off.ended > heard.latest
        GROUP BY exchange, symbol
    ),
    recounted AS
    (
        SELECT
            candle.timeframe AS timeframe,
            candle.exchange AS exchange,
            candle.symbol AS symbol,
            candle.window_start AS window_start,
            toUInt64(begun.total - over.total) AS missing,
            toInt64(till.total) - if(till.ended > candle.end, dateDiff('microsecond', candle.end, till.ended), 0)
                - toInt64(since.total) + if(since.ended > candle.start, dateDiff('microsecond', candle.start, since.ended), 0)
                AS down,
            arraySum(
                span -> greatest(0, dateDiff('microsecond', greatest(span.1, candle.start), least(span.2, candle.end))),
                pending.spans
            ) AS more,
            if(
                candle.feed_down_ms BETWEEN intDiv(down, 1000) AND intDiv(down + more, 1000),
                toString(candle.feed_down_ms),
                toString(intDiv(down, 1000))
            ) AS down_ms,
            arrayFilter(m -> m.1 >= candle.start AND m.1 < candle.end, unproven.moments) AS inside,
            notEmpty(inside) AS begins,
            arrayExists(m -> NOT m.2, inside) AS doubtful,
            contradicted.time >= candle.start AS contradiction,
            arrayExists(span -> span.1 < candle.end AND span.2 > candle.start, unsubscribed.spans) AS refused,
            candle.end > market.latest AS last,
            multiIf(
                NOT candle.closed, 'forming',
                counted.unnumbered > 0 OR contradiction, 'unverified',
                missing > 0, 'gaps',
                begins OR refused, 'partial',
                'complete'
            ) AS status,
            if(
                (candle.status = 'partial' AND status = 'complete' AND last) OR doubtful,
                toString(candle.status),
                status
            ) AS judged,
            [toString(candle.missing), toString(candle.status), toString(candle.feed_down_ms),
             toString(candle.repaired)] AS stored,
            [toString(missing), judged, down_ms, toString(counted.repaired)] AS computed
        FROM candles AS candle
        LEFT JOIN counted
            ON toString(candle.timeframe) = counted.timeframe AND candle.exchange = counted.exchange
            AND candle.symbol = counted.symbol AND candle.window_start = counted.window_start
        LEFT JOIN markets AS market ON candle.exchange = market.exchange AND candle.symbol = market.symbol
        LEFT JOIN unproven ON candle.exchange = unproven.exchange AND candle.symbol = unproven.symbol
        LEFT JOIN unsubscribed
            ON candle.exchange = unsubscribed.exchange AND candle.symbol = unsubscribed.symbol
        LEFT JOIN pending ON candle.exchange = pending.exchange AND candle.symbol = pending.symbol
        ASOF LEFT JOIN contradicted
            ON candle.exchange = contradicted.exchange AND candle.symbol = contradicted.symbol
            AND candle.end > contradicted.time
        ASOF LEFT JOIN begun
            ON candle.exchange = begun.exchange AND candle.symbol = begun.symbol AND candle.end > begun.time
        ASOF LEFT JOIN over
            ON candle.exchange = over.exchange AND candle.symbol = over.symbol AND candle.start > over.time
        ASOF LEFT JOIN down AS till
            ON candle.exchange = till.exchange AND candle.symbol = till.symbol AND candle.end > till.began
        ASOF LEFT JOIN down AS since
            ON candle.exchange = since.exchange AND candle.symbol = since.symbol AND candle.start > since.began
    )
SELECT
    timeframe,
    exchange,
    symbol,
    window_start,
    'mismatch' AS problem,
    arrayFilter((name, a, b) -> a != b, names, stored, computed) AS fields,
    mapFromArrays(names, stored) AS stored_values,
    mapFromArrays(names, computed) AS check_values
FROM recounted
WHERE stored != computed
SETTINGS join_use_nulls = 0;
