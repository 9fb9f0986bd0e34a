"""Measurement of ClickHouse alone, with insert-triggered views instead of Candlewax.

Frames go into a table, and a view parses them into trades with the columns of `silver_trades`. Six
views keep candle states: each from the trades (`direct`), or from the one-minute states
(`cascaded`). It has no deduplication, late corrections or dead letters: a frame that it cannot
parse fails its whole block. Trades and frames are merged with the settings of Candlewax's own
tables.
"""

from pathlib import Path

import clickhouse_connect

from bench.stopwatch import Stopwatch, Timing

BLOCK = 100_000
"""Lines per insert."""

FRAMES = """
CREATE TABLE frames
(
    recv_ns UInt64, exchange LowCardinality(String), connection LowCardinality(String),
    seq UInt64 CODEC(DoubleDelta, ZSTD(1)), frame String CODEC(ZSTD(1)),
    inserted_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(fromUnixTimestamp64Nano(toInt64(recv_ns), 'UTC'))
ORDER BY (exchange, connection, seq)
SETTINGS merge_selector_base = 10
"""

TRADES = """
CREATE MATERIALIZED VIEW to_silver TO silver_trades AS
WITH JSONExtract(
    frame, 'data',
    'Tuple(E UInt64, T UInt64, s String, t UInt64, p String, q String, X String, m Bool)'
) AS d
SELECT exchange, concat(substring(d.s, 1, length(d.s) - 4), '/USDT:USDT') AS symbol,
    d.s AS native_symbol, substring(d.s, 1, length(d.s) - 4) AS base, 'USDT' AS quote,
    toString(d.t) AS trade_id, d.t AS sequence,
    fromUnixTimestamp64Milli(toInt64(d.T), 'UTC') AS timestamp,
    if(d.m, 'SELL', 'BUY') AS side,
    toDecimal128(d.p, 12) AS price, toDecimal128(d.q, 12) AS quantity,
    toDecimal128(d.p, 9) * toDecimal128(d.q, 9) AS quote_volume,
    if(d.X = 'MARKET', [], [d.X]) AS conditions,
    fromUnixTimestamp64Micro(toInt64(intDiv(recv_ns, 1000)), 'UTC') AS received_at,
    connection AS source, seq AS source_offset,
    map('E', toString(d.E), 'X', d.X) AS vendor_data
FROM frames
"""

CANDLES = """
CREATE TABLE candles_{name}
(
    exchange LowCardinality(String), symbol LowCardinality(String), window_start DateTime('UTC'),
    open AggregateFunction(argMin, Decimal(38, 12), Tuple(DateTime64(6, 'UTC'), UInt64)),
    close AggregateFunction(argMax, Decimal(38, 12), Tuple(DateTime64(6, 'UTC'), UInt64)),
    high SimpleAggregateFunction(max, Decimal(38, 12)),
    low SimpleAggregateFunction(min, Decimal(38, 12)),
    volume SimpleAggregateFunction(sum, Decimal(38, 12)),
    quote_volume SimpleAggregateFunction(sum, Decimal(38, 18)),
    trade_count SimpleAggregateFunction(sum, UInt64),
    buy_volume SimpleAggregateFunction(sum, Decimal(38, 12)),
    buy_quote_volume SimpleAggregateFunction(sum, Decimal(38, 18))
)
ENGINE = AggregatingMergeTree ORDER BY (exchange, symbol, window_start)
"""

VIEW_OF_TRADES = """
CREATE MATERIALIZED VIEW to_{name} TO candles_{name} AS
SELECT exchange, symbol, toStartOfInterval(timestamp, INTERVAL {length}) AS window_start,
    argMinState(price, (timestamp, sequence)) AS open,
    argMaxState(price, (timestamp, sequence)) AS close,
    max(price) AS high, min(price) AS low, sum(quantity) AS volume,
    sum(silver_trades.quote_volume) AS quote_volume, count() AS trade_count,
    sumIf(quantity, side = 'BUY') AS buy_volume,
    sumIf(silver_trades.quote_volume, side = 'BUY') AS buy_quote_volume
FROM silver_trades GROUP BY exchange, symbol, window_start
"""

VIEW_OF_MINUTES = """
CREATE MATERIALIZED VIEW to_{name} TO candles_{name} AS
SELECT exchange, symbol, toStartOfInterval(minutes.window_start, INTERVAL {length}) AS window_start,
    argMinMergeState(minutes.open) AS open, argMaxMergeState(minutes.close) AS close,
    max(minutes.high) AS high, min(minutes.low) AS low, sum(minutes.volume) AS volume,
    sum(minutes.quote_volume) AS quote_volume, sum(minutes.trade_count) AS trade_count,
    sum(minutes.buy_volume) AS buy_volume, sum(minutes.buy_quote_volume) AS buy_quote_volume
FROM candles_1m AS minutes GROUP BY exchange, symbol, window_start
"""

LENGTHS = {
    "1m": "1 MINUTE", "5m": "5 MINUTE", "15m": "15 MINUTE", "30m": "30 MINUTE", "1h": "1 HOUR",
    "1d": "1 DAY",
}  # fmt: skip

SILVER = Path(__file__).parents[1] / "clickhouse" / "ddl" / "20_silver_trades.sql"


def run(log: Path, folder: Path, *, cascaded: bool) -> Timing:
    """Return the time to insert a frame log."""
    lines = log.read_bytes().splitlines(keepends=True)
    blocks = [b"".join(lines[n : n + BLOCK]) for n in range(0, len(lines), BLOCK)]
    warm = b"".join(lines[:20_000])
    del lines
    _run([warm], folder, "warm", cascaded=cascaded)
    return _run(blocks, folder, "market", cascaded=cascaded)


def _run(blocks: list[bytes], folder: Path, database: str, *, cascaded: bool) -> Timing:
    server = clickhouse_connect.get_client(interface="chdb", path=str(folder))
    server.command(f"CREATE DATABASE {database}")
    client = clickhouse_connect.get_client(interface="chdb", path=str(folder), database=database)
    client.command(FRAMES)
    client.command(SILVER.read_text(encoding="utf-8").strip().removesuffix(";"))
    client.command(TRADES)
    for name, length in LENGTHS.items():
        client.command(CANDLES.format(name=name))
        view = VIEW_OF_MINUTES if cascaded and name != "1m" else VIEW_OF_TRADES
        client.command(view.format(name=name, length=length))
    stopwatch = Stopwatch()
    for block in blocks:
        client.raw_insert(
            "frames",
            column_names=["recv_ns", "exchange", "connection", "seq", "frame"],
            insert_block=block,
            fmt="TabSeparated",
            settings={"deduplicate_blocks_in_dependent_materialized_views": 0},
        )
    timing = stopwatch.timing()
    trade_count = client.query("SELECT sum(trade_count) FROM candles_1d").result_rows[0][0]
    if trade_count != sum(block.count(b"\n") for block in blocks):
        raise RuntimeError(f"the views counted {trade_count} trades")
    return timing
