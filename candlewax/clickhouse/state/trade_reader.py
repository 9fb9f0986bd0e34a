"""The content of stored trades, to compare with what comes under their numbers."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import polars as pl

from candlewax.core.gaps.gap_state import MOMENTS
from candlewax.core.trades.identity import CONTENT
from candlewax.runtime.clocks import wall_clock

Query = Callable[..., pl.DataFrame]

_AT_ONCE: Final = 5_000
"""Numbers that are asked for at once."""

RETENTION: Final = timedelta(days=30)
"""How long a trade is kept after it was stored: the TTL of `silver_trades`."""

_CLOSE: Final = timedelta(milliseconds=1)
"""How far the times of the same trade may lie apart."""

_CONTENT: Final = """
SELECT symbol, sequence, timestamp, toInt8(side) AS side, price, quantity
FROM silver_trades
WHERE exchange = {exchange:String} AND symbol IN {symbols:Array(String)}
    AND sequence IN {numbers:Array(UInt64)}
"""

# The times are a part of the key: without them all of a market is looked through.
_NEAR: Final = f"""{_CONTENT}
    AND timestamp >= fromUnixTimestamp64Micro({{begin:Int64}}, 'UTC')
    AND timestamp <= fromUnixTimestamp64Micro({{end:Int64}}, 'UTC')
"""

_CONTRADICTED: Final = """
SELECT symbol, intDiv(toUnixTimestamp64Micro(moment), 60000000) * 60000000 AS time,
    toUnixTimestamp64Micro(max(inserted_at)) AS inserted
FROM contradictions
ARRAY JOIN [stored_timestamp, timestamp] AS moment
WHERE exchange = {exchange:String}
    AND inserted_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC') AND moment > 0
GROUP BY symbol, time
"""

_BACK: Final = timedelta(days=1)
"""Time before the last row read that is read again: the database's clock may be set back."""


class TradeReader:
    """Reads the stored trades of an exchange by their numbers."""

    def __init__(self, query: Query, clock: Callable[[], int] = wall_clock) -> None:
        self._query = query
        self._clock = clock
        self._read: dict[str, int] = {}

    def kept_since(self) -> int:
        """Return since when all that was stored is there, in microseconds since 1970."""
        return self._clock() - RETENTION // timedelta(microseconds=1)

    def near(self, exchange: str, came: pl.DataFrame) -> pl.DataFrame:
        """Return CONTENT of the stored trades with the numbers of others (CONTENT), as far as
        they happened about when those did.
        """
        found = []
        for part in came.sort("timestamp").iter_slices(_AT_ONCE):
            begin, end = (
                part["timestamp"].cast(pl.Int64).min(),
                part["timestamp"].cast(pl.Int64).max(),
            )
            close = _CLOSE // timedelta(microseconds=1)
            times: dict[str, Any] = {"begin": begin - close, "end": end + close}  # type: ignore[operator]
            found.append(self._content(_NEAR, exchange, part, times))
        return pl.concat(found)

    def by_number(self, exchange: str, came: pl.DataFrame) -> pl.DataFrame:
        """Return CONTENT of all stored trades with the numbers of others (CONTENT)."""
        parts = came.iter_slices(_AT_ONCE)
        return pl.concat([self._content(_CONTENT, exchange, part, {}) for part in parts])

    def _content(
        self, sql: str, exchange: str, came: pl.DataFrame, times: dict[str, Any]
    ) -> pl.DataFrame:
        wanted = {
            "symbols": came["symbol"].unique().to_list(),
            "numbers": came["sequence"].unique().to_list(),
        }
        return self._query(sql, exchange, **wanted, **times).cast(CONTENT)  # type: ignore[arg-type]  # names to types

    def contradicted(self, exchange: str) -> pl.DataFrame:
        """Return the minutes (MOMENTS, their starts) that hold trades of which two came under one
        number: all of them when first asked, later those that may be new.
        """
        since = self._read.get(exchange, 0)
        found = self._query(_CONTRADICTED, exchange, since=since)
        if found.height:
            latest = int(found["inserted"].max())  # type: ignore[arg-type]  # of integers
            self._read[exchange] = max(since, latest - _BACK // timedelta(microseconds=1))
        return found.select(*MOMENTS).cast(MOMENTS)  # type: ignore[arg-type]  # names to types
