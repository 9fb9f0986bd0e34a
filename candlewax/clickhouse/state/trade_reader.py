"""Content of stored trades, for comparison with trades received under the same numbers."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import polars as pl

from candlewax.core.gaps.gap_state import MOMENTS
from candlewax.core.schema import TIME, Columns
from candlewax.core.trades.identity import CONTENT
from candlewax.core.trades.unnumbered import SAME_TRADE

Query = Callable[..., pl.DataFrame]

_QUERY_NUMBERS: Final = 5_000
"""Sequence numbers in one query."""

_ID_COLUMNS: Final[Columns] = {"symbol": pl.String, "trade_id": pl.String, "timestamp": TIME}

_TIME_TOLERANCE: Final = timedelta(milliseconds=1)
"""Greatest difference between two times that an exchange gives for the same trade."""

_CONTENT: Final = """
SELECT symbol, sequence, timestamp, toInt8(side) AS side, price, quantity
FROM silver_trades
WHERE exchange = {exchange:String} AND symbol IN {symbols:Array(String)}
    AND sequence IN {numbers:Array(UInt64)}
"""

# The time is in the table's key: without it the query would read the whole market.
_NEAR: Final = f"""{_CONTENT}
    AND timestamp >= fromUnixTimestamp64Micro({{begin:Int64}}, 'UTC')
    AND timestamp <= fromUnixTimestamp64Micro({{end:Int64}}, 'UTC')
"""

_IDS: Final = """
SELECT symbol, trade_id, timestamp FROM silver_trades
WHERE exchange = {exchange:String} AND symbol IN {symbols:Array(String)}
    AND trade_id IN {ids:Array(String)} AND sequence = 0
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp <= fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""

_CONTRADICTED_MINUTES: Final = """
SELECT symbol, intDiv(toUnixTimestamp64Micro(moment), 60000000) * 60000000 AS time,
    toUnixTimestamp64Micro(max(inserted_at)) AS inserted
FROM contradictions
ARRAY JOIN [stored_timestamp, timestamp] AS moment
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
    AND inserted_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC') AND moment > 0
GROUP BY symbol, time
"""

_WHOLE_SINCE: Final = """
SELECT toUnixTimestamp64Micro(since) AS since FROM retention WHERE table = 'silver_trades'
"""

_REREAD: Final = timedelta(days=1)
"""Time before the last row read that is read again: the database's clock may be set back."""


class TradeReader:
    """Reader of stored trades by their sequence numbers."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._last_read_us: dict[str, int] = {}

    def retained_since_us(self) -> int:
        """Return the time since which stored trades are all kept, in microseconds since 1970."""
        return int(self._query(_WHOLE_SINCE, "").item())

    def read_near(self, exchange: str, trades: pl.DataFrame) -> pl.DataFrame:
        """Return CONTENT of stored trades with the sequence numbers of `trades` (CONTENT).

        Only trades from about the time of those in `trades` are read.
        """
        parts = []
        for part in trades.sort("timestamp").iter_slices(_QUERY_NUMBERS):
            begin, end = (
                part["timestamp"].cast(pl.Int64).min(),
                part["timestamp"].cast(pl.Int64).max(),
            )
            margin_us = _TIME_TOLERANCE // timedelta(microseconds=1)
            times: dict[str, Any] = {"begin": begin - margin_us, "end": end + margin_us}  # type: ignore[operator]
            parts.append(self._query_content(_NEAR, exchange, part, times))
        return pl.concat(parts)

    def read_by_number(self, exchange: str, trades: pl.DataFrame) -> pl.DataFrame:
        """Return CONTENT of all stored trades with the sequence numbers of `trades` (CONTENT)."""
        parts = trades.iter_slices(_QUERY_NUMBERS)
        return pl.concat([self._query_content(_CONTENT, exchange, part, {}) for part in parts])

    def _query_content(
        self, sql: str, exchange: str, trades: pl.DataFrame, times: dict[str, Any]
    ) -> pl.DataFrame:
        keys = {
            "symbols": trades["symbol"].unique().to_list(),
            "numbers": trades["sequence"].unique().to_list(),
        }
        return self._query(sql, exchange, **keys, **times).cast(CONTENT)  # type: ignore[arg-type]  # names to types

    def read_ids(self, exchange: str, trades: pl.DataFrame) -> pl.DataFrame:
        """Return symbol, trade_id and timestamp of stored trades without numbers.

        They have the ids of `trades` (the same columns) and are from about the same time.
        """
        parts = []
        for part in trades.sort("timestamp").iter_slices(_QUERY_NUMBERS):
            times: Any = part["timestamp"].cast(pl.Int64)
            margin_us = SAME_TRADE // timedelta(microseconds=1)
            parts.append(
                self._query(
                    _IDS,
                    exchange,
                    symbols=part["symbol"].unique().to_list(),
                    ids=part["trade_id"].unique().to_list(),
                    begin=times.min() - margin_us,
                    end=times.max() + margin_us,
                ).cast(_ID_COLUMNS)  # type: ignore[arg-type]  # names to types
            )
        return pl.concat(parts)

    def read_contradicted_minutes(self, exchange: str) -> pl.DataFrame:
        """Return the minutes (MOMENTS, their starts) that hold a contradiction.

        The first call for an exchange returns all of them, a later one those that may be new.
        """
        since = self._last_read_us.get(exchange, 0)
        minutes = self._query(_CONTRADICTED_MINUTES, exchange, since=since)
        if minutes.height:
            latest = int(minutes["inserted"].max())  # type: ignore[arg-type]  # of integers
            self._last_read_us[exchange] = max(since, latest - _REREAD // timedelta(microseconds=1))
        return minutes.select(*MOMENTS).cast(MOMENTS)  # type: ignore[arg-type]  # names to types
