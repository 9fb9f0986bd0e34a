"""Totals and latest candles of the tables, for a report."""

from dataclasses import dataclass
from typing import Any, Final

from candlewax.clickhouse.client import Database

MAX_COUNTED_ROWS: Final = 20_000_000
"""Rows above which counting each of them once takes too long."""

_STORED: Final = """
SELECT
    (SELECT count() FROM bronze_frames FINAL) AS frames,
    (SELECT count() FROM silver_trades FINAL) AS trades,
    (SELECT count() FROM dead_letters FINAL) AS dead_letters,
    (SELECT count() FROM ohlcv FINAL) AS candles,
    (SELECT sum(version) FROM ohlcv FINAL) AS versions
"""

_ROWS: Final = """
SELECT sum(rows) AS rows
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN ('bronze_frames', 'silver_trades')
"""

_CANDLES: Final = """
SELECT toString(timeframe) AS name, countIf(closed) AS done, countIf(NOT closed) AS forming
FROM ohlcv FINAL
GROUP BY timeframe
ORDER BY timeframe
"""

_LATEST: Final = """
SELECT exchange, symbol, toDateTime64(window_start, 0, 'UTC') AS hour, open, high, low, close,
    trade_count, closed
FROM ohlcv_1h
WHERE (exchange, symbol) IN
(
    SELECT exchange, symbol FROM ohlcv_1d
    GROUP BY exchange, symbol
    ORDER BY sum(trade_count) DESC
    LIMIT {markets:UInt8}
)
ORDER BY exchange, symbol, window_start DESC
LIMIT 1 BY exchange, symbol
"""


_MINUTES: Final = """
SELECT exchange, symbol, toDateTime64(window_start, 0, 'UTC') AS minute, open, high, low, close,
    volume, trade_count, closed
FROM ohlcv FINAL
WHERE timeframe = '1m' AND window_start >= now() - INTERVAL 1 HOUR
ORDER BY exchange, symbol, window_start DESC
LIMIT 1 BY exchange, symbol
"""


@dataclass(frozen=True)
class StoredTotals:
    """Row counts of the tables, each row counted once, and the sum of the candles' versions."""

    frames: int
    trades: int
    dead_letters: int
    candles: int
    versions: int


def count_stored(database: Database) -> StoredTotals | None:
    """Return the totals of the tables; None if they hold more than MAX_COUNTED_ROWS."""
    rows = database.query(_ROWS)["rows"][0] or 0
    if rows > MAX_COUNTED_ROWS:
        return None
    return StoredTotals(**database.query(_STORED).row(0, named=True))


def count_candles(database: Database) -> list[tuple[str, int, int]]:
    """Return for each timeframe its name and the numbers of closed and of forming candles."""
    return database.query(_CANDLES).rows()


def read_latest_hours(database: Database, markets: int) -> list[dict[str, Any]]:
    """Return the latest hourly candle of the markets with the most trades, `markets` of them."""
    return database.query(_LATEST, {"markets": markets}).rows(named=True)


def read_latest_minutes(database: Database) -> list[dict[str, Any]]:
    """Return the latest one-minute candle of each market, if it began in the last hour."""
    return database.query(_MINUTES).rows(named=True)
