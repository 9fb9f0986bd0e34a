"""One-minute candles, computed from stored trades."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from candlewax.core.candles.combine import STATE, TIMEFRAMES, combine
from candlewax.core.schema import TRADES, empty

# %s is the condition on the stored trades that count, see StateLoader.
_TRADES: Final = """
SELECT symbol, timestamp, sequence, source_offset, source_index, trade_id,
    toInt8(side) AS side, price, quantity, quote_volume, toInt8(via) AS via
FROM silver_trades FINAL
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
    AND %s AND empty(conditions)
    AND ({every:Bool} OR symbol IN {symbols:Array(String)})
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""

_HOURS: Final = """
SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfHour(timestamp))) * 1000000 AS hour
FROM silver_trades
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
ORDER BY hour
"""

_HOUR: Final = TIMEFRAMES["1h"][1]
_NO_TRADES: Final = empty(TRADES)

Query = Callable[..., pl.DataFrame]


class MinuteReader:
    """Reader of stored trades as one-minute candles, one hour of trades at a time."""

    def __init__(self, query: Query, cut: str) -> None:
        """`query` takes SQL, an exchange, and parameters by name.

        `cut` is the SQL condition on the stored trades that count.
        """
        self._query = query
        self._trades = _TRADES % cut

    def build_candles(
        self,
        exchange: str,
        begin: int,
        end: int,
        symbols: list[str] | None = None,
        late: pl.DataFrame = _NO_TRADES,
        cut: Mapping[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Return candles (STATE) of whole hours, from stored trades and `late` ones (TRADES).

        Those of a symbol are in order. `begin` and `end` are microseconds since 1970. `cut` holds
        the parameters of the condition on stored trades, if they differ from the current ones.
        """
        stored_hours = self._query(_HOURS, exchange, begin=begin, end=end)["hour"]
        hour = pl.col("timestamp").cast(pl.Int64) // _HOUR * _HOUR
        late = late.filter(pl.col("condition").is_null()).with_columns(hour=hour)
        late = late.filter(pl.col("hour").is_between(begin, end, closed="left"))
        hours = pl.concat([stored_hours, late["hour"]]).unique().sort()
        parts = [empty(STATE)]
        for hour in hours:
            trades = self._query(
                self._trades,
                exchange,
                begin=hour,
                end=hour + _HOUR,
                every=symbols is None,
                symbols=symbols or [],
                **(cut or {}),
            )
            trades = trades.with_columns(
                pl.col("symbol").cast(pl.Categorical), condition=pl.lit(None, pl.String)
            )
            parts.append(combine(_add_late(trades, late.filter(pl.col("hour") == hour))))
        return pl.concat(parts)


def _add_late(stored: pl.DataFrame, late: pl.DataFrame) -> pl.DataFrame:
    """Return stored and late trades, each once."""
    if late.is_empty():
        return stored
    both = pl.concat([stored, late.select(stored.columns)])
    return both.unique(["symbol", "timestamp", "trade_id"], keep="first", maintain_order=True)
