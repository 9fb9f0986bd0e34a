"""What is stored of the order in which trades came: which were late for their candles."""

from collections.abc import Callable
from typing import Final

import polars as pl

from candlewax.core.candles.combine import WINDOW
from candlewax.core.candles.late_trades import late_trade_counts
from candlewax.core.candles.open_candles import WATERMARK_DELAY_US
from candlewax.core.schema import Columns

LATE: Final[Columns] = {"key": pl.Int64, "revision": pl.UInt32}
"""How many trades came after their candle had closed; `key` names it, as WINDOW does."""

_HOUR: Final = 3_600_000_000

# Which trades count as stored is told by whoever asks.
_SINCE: Final = """exchange = {exchange:String} AND %s
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')"""

_FOUND: Final = """
SELECT groupUniqArray(toInt64(toUnixTimestamp(toStartOfHour(received_at))) * 1000000) AS hours,
    uniqExact(source, source_partition) AS sources
FROM silver_trades
WHERE %s
"""

# Where all came from one source its offsets are the order, else the time of receipt.
_ARRIVED: Final = """
SELECT symbol, timestamp, if(empty(conditions), NULL, '') AS condition
FROM silver_trades FINAL
WHERE %s
    AND received_at >= fromUnixTimestamp64Micro({hour:Int64}, 'UTC')
    AND received_at < fromUnixTimestamp64Micro({hour:Int64} + {length:Int64}, 'UTC')
ORDER BY if({one:Bool}, source_offset, toUInt64(toUnixTimestamp64Micro(received_at))),
    source, source_partition, source_offset, source_index
"""

Query = Callable[..., pl.DataFrame]


class LateTradeReader:
    """Looks at stored trades in the order they came, never more than an hour's at once."""

    def __init__(self, query: Query, cut: str) -> None:
        """`query` takes SQL, an exchange, and parameters by name; `cut` is SQL that says
        which trades count as stored.
        """
        self._query = query
        since = _SINCE % cut
        self._found = _FOUND % since
        self._arrived = _ARRIVED % since

    def late(self, exchange: str, begin: int) -> pl.DataFrame:
        """LATE, of the stored trades since a time, in microseconds since 1970.

        From several sources trades came in the order of their receipt, as far as is
        known; a process that took them in another order may have counted others.
        """
        hours, sources = self._query(self._found, exchange, begin=begin).row(0)
        found, latest = [pl.DataFrame(schema=LATE)], WATERMARK_DELAY_US
        for hour in sorted(hours):
            trades = self._query(
                self._arrived, exchange, begin=begin, hour=hour, length=_HOUR, one=sources == 1
            ).with_columns(pl.col("symbol").cast(pl.Categorical))
            late = late_trade_counts(trades, latest, WATERMARK_DELAY_US)
            found += [] if late is None else [late.select(*LATE)]
            newest = trades["timestamp"].to_physical().max()
            latest = max(latest, newest) if isinstance(newest, int) else latest
        return pl.concat(found).group_by("key").agg(pl.col("revision").sum())


def with_revisions(candles: pl.DataFrame, late: pl.DataFrame) -> pl.DataFrame:
    """Candles (STATE) with the `revision` that LATE tells."""
    found = candles.select(key=WINDOW).join(late, "key", "left", maintain_order="left")
    return candles.with_columns(found["revision"].fill_null(0))
