"""What the tables hold at a glance, for people."""

from dataclasses import dataclass
from typing import Any, Final

from candlewax.clickhouse.client import Database

MANY: Final = 20_000_000
"""Rows; with more it takes too long to count each one once."""

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
class Stored:
    """How much the tables hold, each row counted once."""

    frames: int
    trades: int
    dead_letters: int
    candles: int
    versions: int


def stored(database: Database) -> Stored | None:
    """What is stored; None if that is too much to count in passing."""
    rows = database.query(_ROWS)["rows"][0] or 0
    if rows > MANY:
        return None
    return Stored(**database.query(_STORED).row(0, named=True))


def candles(database: Database) -> list[tuple[str, int, int]]:
    """For each timeframe, how many candles are closed and how many are forming."""
    return database.query(_CANDLES).rows()


def latest(database: Database, markets: int) -> list[dict[str, Any]]:
    """The last hourly candle of the busiest markets."""
    return database.query(_LATEST, {"markets": markets}).rows(named=True)


def minutes(database: Database) -> list[dict[str, Any]]:
    """The last one-minute candle of each market, of the last hour."""
    return database.query(_MINUTES).rows(named=True)
