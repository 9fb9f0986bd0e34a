"""Counts of late trades, from the order in which stored trades were received."""

from collections.abc import Callable
from typing import Final

import polars as pl

from candlewax.core.candles.combine import WINDOW
from candlewax.core.candles.late_trades import late_trade_counts
from candlewax.core.candles.open_candles import WATERMARK_DELAY_US
from candlewax.core.schema import Columns

LATE: Final[Columns] = {"key": pl.Int64, "revision": pl.UInt32}
"""Number of late trades of a candle; `key` is that of WINDOW."""

_HOUR: Final = 3_600_000_000

# %s is the condition on the stored trades that count, see StateLoader.
_SINCE: Final = """exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
    AND %s
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')"""

_HOURS: Final = """
SELECT groupUniqArray(toInt64(toUnixTimestamp(toStartOfHour(received_at))) * 1000000) AS hours,
    uniqExact(source, source_partition) AS sources
FROM silver_trades
WHERE %s
"""

# Offsets give the order of trades of one source, the time of receipt that of several.
_HOUR_TRADES: Final = """
SELECT symbol, timestamp, if(empty(conditions), NULL, '') AS condition
FROM silver_trades FINAL
WHERE %s
    AND received_at >= fromUnixTimestamp64Micro({hour:Int64}, 'UTC')
    AND received_at < fromUnixTimestamp64Micro({hour:Int64} + {length:Int64}, 'UTC')
ORDER BY if({has_one_source:Bool}, source_offset, toUInt64(toUnixTimestamp64Micro(received_at))),
    source, source_partition, source_offset, source_index
"""

Query = Callable[..., pl.DataFrame]


class LateTradeReader:
    """Reader of stored trades in the order of their receipt, one hour of trades at a time."""

    def __init__(self, query: Query, cut: str) -> None:
        """`query` takes SQL, an exchange, and parameters by name.

        `cut` is the SQL condition on the stored trades that count.
        """
        self._query = query
        since = _SINCE % cut
        self._hours_sql = _HOURS % since
        self._trades_sql = _HOUR_TRADES % since

    def count_late_trades(self, exchange: str, begin: int) -> pl.DataFrame:
        """Return LATE of the stored trades since `begin`, in microseconds since 1970.

        Trades of several sources count in the order of their receipt. A process that read them
        in another order may have counted differently.
        """
        hours, sources = self._query(self._hours_sql, exchange, begin=begin).row(0)
        parts, latest = [pl.DataFrame(schema=LATE)], WATERMARK_DELAY_US
        for hour in sorted(hours):
            trades = self._query(
                self._trades_sql,
                exchange,
                begin=begin,
                hour=hour,
                length=_HOUR,
                has_one_source=sources == 1,
            ).with_columns(pl.col("symbol").cast(pl.Categorical))
            late = late_trade_counts(trades, latest, WATERMARK_DELAY_US)
            parts += [] if late is None else [late.select(*LATE)]
            newest = trades["timestamp"].to_physical().max()
            latest = max(latest, newest) if isinstance(newest, int) else latest
        return pl.concat(parts).group_by("key").agg(pl.col("revision").sum())


def with_revisions(candles: pl.DataFrame, late: pl.DataFrame) -> pl.DataFrame:
    """Return candles (STATE) with `revision` taken from LATE, 0 if absent there."""
    joined = candles.select(key=WINDOW).join(late, "key", "left", maintain_order="left")
    return candles.with_columns(joined["revision"].fill_null(0))
