-- Missing ranges between the sequence numbers of the stored trades, found by SQL that shares nothing
-- with the dataflow. candlewax verify refreshes it.
--
-- Each numbering of a market is checked by itself.
--
-- `before` and `after` are the times of the two trades beside a missing range, the earlier one
-- first. `stored_at` is when the trade after it was stored.
CREATE TABLE IF NOT EXISTS missing_range_check
(
    exchange       LowCardinality(String),
    symbol         LowCardinality(String),
    first_sequence UInt64,
    last_sequence  UInt64,
    before         DateTime64(6, 'UTC'),
    after          DateTime64(6, 'UTC'),
    stored_at      DateTime64(6, 'UTC'),
    numbering      UInt32
)
ENGINE = MergeTree
ORDER BY (exchange, symbol, first_sequence);

-- The numbers of a symbol are marked as bits of 64-bit words, so memory holds one word for 64 trades.
-- The first and last bit of each run of ones are the ends of a range of stored numbers.
-- It is made again, as it may be of an older version.
DROP VIEW IF EXISTS missing_range_check_mv;

CREATE MATERIALIZED VIEW IF NOT EXISTS missing_range_check_mv
REFRESH EVERY 1 HOUR TO missing_range_check EMPTY AS
SELECT
    holes.exchange AS exchange,
    holes.symbol AS symbol,
    lower + 1 AS first_sequence,
    toUInt64(upper - 1) AS last_sequence,
    min(trades.timestamp) AS before,
    max(trades.timestamp) AS after,
    maxIf(trades.inserted_at, trades.sequence = upper) AS stored_at,
    holes.numbering AS numbering
FROM (SELECT exchange, symbol, numbering, sequence, timestamp, inserted_at FROM silver_trades FINAL) AS trades
JOIN
(
    SELECT exchange, symbol, numbering, lower, upper, beside
    FROM
    (
        SELECT
            exchange,
            symbol,
            numbering,
            first AS upper,
            lagInFrame(last, 1, toUInt64(0)) OVER
            (
                PARTITION BY exchange, symbol, numbering
                ORDER BY first
                ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
            ) AS lower
        FROM
        (
            SELECT exchange, symbol, numbering, word * 64 + run.1 AS first, word * 64 + run.2 AS last
            FROM
            (
                SELECT exchange, symbol, numbering, intDiv(sequence, 64) AS word,
                    groupBitOr(bitShiftLeft(toUInt64(1), sequence % 64)) AS seen
                FROM silver_trades FINAL
                WHERE sequence > 0
                GROUP BY exchange, symbol, numbering, word
            )
            ARRAY JOIN arrayZip(
                bitPositionsToArray(bitAnd(seen, bitNot(bitShiftLeft(seen, 1)))),
                bitPositionsToArray(bitAnd(seen, bitNot(bitShiftRight(seen, 1))))
            ) AS run
        )
    )
    ARRAY JOIN [lower, upper] AS beside
    WHERE lower > 0 AND upper > lower + 1
) AS holes
    ON trades.exchange = holes.exchange AND trades.symbol = holes.symbol
    AND trades.numbering = holes.numbering AND trades.sequence = holes.beside
GROUP BY exchange, symbol, numbering, lower, upper;

-- Differences between the missing ranges of silver_trades and the table gaps.
--
-- no_gap: a missing range with numbers that no gap covers. missing: a gap with another count of
-- missing trades than it states. span: a gap whose times are not those of the trades beside it.
-- state: a gap without missing trades that is not repaired, or a repaired one with missing trades.
--
-- Both are lists of ranges that do not touch. The count of a list's numbers up to a number is the
-- size of all ranges that begin up to it, less the part of the last one beyond it. Trades past their
-- retention cannot be compared. So a missing range is left out if the trade after it is about to be
-- dropped, and a gap if it was last written that long ago and that trade is gone.
--
-- A numbering other than 0 has a name of its own here: BTC/USDT #1.
CREATE OR REPLACE VIEW gap_mismatches AS
WITH
    (SELECT assumeNotNull(since) + INTERVAL 2 DAY FROM retention WHERE table = 'silver_trades') AS oldest,
    holes AS
    (
        SELECT exchange, concat(holes.symbol, if(numbering = 0, '', concat(' #', toString(numbering)))) AS symbol,
            first_sequence AS first, last_sequence AS last, stored_at,
            sum(last_sequence - first_sequence + 1) OVER
            (
                PARTITION BY exchange, symbol
                ORDER BY first_sequence
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS total
        FROM missing_range_check AS holes
    ),
    known AS
    (
        SELECT exchange, concat(gaps.symbol, if(numbering = 0, '', concat(' #', toString(numbering)))) AS symbol,
            first_sequence AS first, last_sequence AS last,
            gaps.missing AS missing, gaps.before AS before, gaps.after AS after,
            toString(gaps.state) AS state, gaps.updated_at AS updated_at,
            sum(last_sequence - first_sequence + 1) OVER
            (
                PARTITION BY exchange, symbol
                ORDER BY first_sequence
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS total
        FROM gaps FINAL
    ),
    beside AS
    (
        SELECT gap.exchange AS exchange, gap.symbol AS symbol, gap.first AS first,
            min(trades.timestamp) AS before,
            max(trades.timestamp) AS after,
            uniqExact(trades.sequence) AS trades,
            maxIf(trades.inserted_at, trades.sequence > gap.first) AS stored_at
        FROM
        (
            SELECT exchange, concat(stored.symbol, if(numbering = 0, '', concat(' #', toString(numbering)))) AS symbol,
                sequence, timestamp, inserted_at
            FROM silver_trades AS stored FINAL
        ) AS trades
        JOIN
        (
            SELECT exchange, symbol, first, arrayJoin([toUInt64(first - 1), toUInt64(last + 1)]) AS number
            FROM known
        ) AS gap
            ON trades.exchange = gap.exchange AND trades.symbol = gap.symbol AND trades.sequence = gap.number
        GROUP BY exchange, symbol, first
    ),
    uncovered AS
    (
        SELECT hole.exchange AS exchange, hole.symbol AS symbol, hole.first AS first, hole.last AS last,
            till.total - (greatest(till.last, hole.last) - hole.last) AS up_to_last,
            below.total - (greatest(below.last + 1, hole.first) - hole.first) AS up_to_first,
            toUInt64(hole.last - hole.first + 1 - if(till.last = 0, 0, up_to_last) + if(below.last = 0, 0, up_to_first)) AS numbers
        FROM holes AS hole
        ASOF LEFT JOIN known AS till
            ON hole.exchange = till.exchange AND hole.symbol = till.symbol AND hole.last >= till.first
        ASOF LEFT JOIN known AS below
            ON hole.exchange = below.exchange AND hole.symbol = below.symbol AND hole.first > below.first
        WHERE hole.stored_at > oldest
    ),
    recounted AS
    (
        SELECT gap.exchange AS exchange, gap.symbol AS symbol, gap.first AS first, gap.last AS last,
            till.total - (greatest(till.last, gap.last) - gap.last) AS up_to_last,
            below.total - (greatest(below.last + 1, gap.first) - gap.first) AS up_to_first,
            toUInt64(if(till.last = 0, 0, up_to_last) - if(below.last = 0, 0, up_to_first)) AS left,
            mapFilter((name, value) -> name != 'span' OR beside.trades = 2, map(
                'missing', toString(gap.missing),
                'span', concat(toString(gap.before), ' … ', toString(gap.after)),
                'state', if(gap.state = 'repaired', 'repaired', 'open'))) AS stored,
            mapFilter((name, value) -> name != 'span' OR beside.trades = 2, map(
                'missing', toString(left),
                'span', concat(toString(beside.before), ' … ', toString(beside.after)),
                'state', if(gap.missing = 0, 'repaired', 'open'))) AS computed
        FROM known AS gap
        LEFT JOIN beside ON gap.exchange = beside.exchange AND gap.symbol = beside.symbol AND gap.first = beside.first
        ASOF LEFT JOIN holes AS till
            ON gap.exchange = till.exchange AND gap.symbol = till.symbol AND gap.last >= till.first
        ASOF LEFT JOIN holes AS below
            ON gap.exchange = below.exchange AND gap.symbol = below.symbol AND gap.first > below.first
        WHERE gap.updated_at > oldest OR beside.stored_at > oldest
    )
SELECT exchange, symbol, first AS first_sequence, last AS last_sequence,
    'no_gap' AS problem,
    ['missing'] AS fields,
    map('missing', '0') AS stored_values,
    map('missing', toString(numbers)) AS check_values
FROM uncovered
WHERE numbers != 0
UNION ALL
SELECT exchange, symbol, first, last,
    if(length(differing) = 1, differing[1], 'missing') AS problem,
    arrayFilter(name -> stored[name] != computed[name], mapKeys(stored)) AS differing,
    stored,
    computed
FROM recounted
WHERE notEmpty(differing)
SETTINGS join_use_nulls = 0;
