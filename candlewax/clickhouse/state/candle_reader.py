"""Stored rows of candles."""

from collections.abc import Callable, Iterator
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import FEED_ENDS
from candlewax.core.candles.combine import SECOND, TIMEFRAMES
from candlewax.core.candles.rows import ROWS

_QUERY_RANGES: Final = 1_000
"""Time ranges in one query."""

_LENGTH: Final = """transform(
        toInt8(ohlcv.timeframe), {numbers:Array(Int8)}, {lengths:Array(UInt32)}, toUInt32(0)
    )"""

_LENGTHS: Final = {
    "numbers": [number for number, _ in TIMEFRAMES.values()],
    "lengths": [length // SECOND for _, length in TIMEFRAMES.values()],
}

_CAST: Final = {
    "timeframe": "toInt8(timeframe)",
    "window_start": "toDateTime64(window_start, 6, 'UTC')",
    "status": "toInt8(status)",
}
_COLUMNS: Final = ",\n    ".join(f"{_CAST.get(name, name)} AS {name}" for name in ROWS)

_START: Final = "toInt64(toUnixTimestamp(ohlcv.window_start))"
_ALL: Final = f"""
SELECT
    {_COLUMNS},
    ({_START} + {_LENGTH}) * 1000000 AS window_end
FROM ohlcv FINAL
WHERE exchange = {{exchange:String}}
    AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}}
"""

_BETWEEN: Final = f"""{_ALL}
    AND ({{every:Bool}} OR symbol IN {{symbols:Array(String)}})
    AND ohlcv.window_start >= fromUnixTimestamp64Micro({{begin:Int64}}, 'UTC')
    AND ohlcv.window_start < fromUnixTimestamp64Micro({{end:Int64}}, 'UTC')
"""

# `after` is the latest end of all ranges so far. So the last range that began before the end of
# a window shows if any range reaches its start.
_OVERLAPPING: Final = f"""
SELECT found.* EXCEPT (place)
FROM
(
    SELECT *, if({{every:Bool}}, '', symbol) AS place
    FROM ({_BETWEEN})
) AS found
ASOF JOIN
(
    SELECT span.1 AS place, span.2 AS before, span.3 AS after
    FROM
    (
        SELECT arrayJoin(arrayZip(
            {{places:Array(String)}}, {{befores:Array(Int64)}}, {{afters:Array(Int64)}}
        )) AS span
    )
) AS spans
ON found.place = spans.place AND found.window_end > spans.before
WHERE spans.after >= toUnixTimestamp64Micro(found.window_start)
"""

_INCOMPLETE: Final = f"{_ALL} AND (ohlcv.missing > 0 OR ohlcv.status = 'partial')"

_FEED_ENDS: Final = f"""
WITH latest AS
(
    SELECT symbol, max(toUnixTimestamp64Micro(close_time)) AS latest
    FROM ohlcv
    WHERE exchange = {{exchange:String}}
        AND modulo(CRC32(symbol), {{shards:UInt32}}) = {{shard:UInt32}}
        AND timeframe = '1d'
    GROUP BY symbol
)
SELECT rows.timeframe AS timeframe, rows.symbol AS symbol, rows.window_start AS window_start,
    rows.window_end AS window_end
FROM ({_ALL} AND ohlcv.status = 'partial') AS rows
INNER JOIN latest USING (symbol)
WHERE latest.latest < rows.window_end
"""

Query = Callable[..., pl.DataFrame]


class CandleReader:
    """Reader of the rows of `ohlcv` after FINAL.

    It adds `window_end` in microseconds since 1970.
    """

    def __init__(self, query: Query) -> None:
        """`query` takes SQL, an exchange, and parameters by name."""
        self._query = query

    def read_between(
        self, exchange: str, begin: int, end: int, symbols: list[str] | None = None
    ) -> pl.DataFrame:
        """Return candles of `symbols`, or of all, whose windows start from `begin` until `end`."""
        return self._rows(
            _BETWEEN, exchange, begin=begin, end=end, every=symbols is None, symbols=symbols or []
        )

    def read_overlapping(self, exchange: str, spans: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield candles that overlap TIME_RANGES, some of them more than once.

        A range without a symbol holds for all symbols.
        """
        # ASOF JOIN takes any of several ranges with the same begin, so keep the longest.
        longest = spans.group_by("symbol", "before").agg(pl.col("after").max())
        latest = pl.col("after").cum_max().over("symbol")
        reaching = longest.sort("symbol", "before").with_columns(latest)
        every = pl.col("symbol").is_null()
        for ranges in (reaching.filter(~every), reaching.filter(every)):
            for part in ranges.iter_slices(_QUERY_RANGES):
                yield self._query_overlapping(exchange, part)

    def _query_overlapping(self, exchange: str, spans: pl.DataFrame) -> pl.DataFrame:
        places = spans["symbol"].fill_null("").to_list()
        begin, end = spans.select(pl.col("before").min(), pl.col("after").max()).row(0)
        return self._rows(
            _OVERLAPPING,
            exchange,
            every=spans["symbol"].null_count() > 0,
            symbols=sorted(set(places)),
            places=places,
            befores=spans["before"].to_list(),
            afters=spans["after"].to_list(),
            # The earliest start of a window that overlaps the first range.
            begin=max(0, begin - TIMEFRAMES["1d"][1]),
            end=end + 1,
        )

    def read_incomplete(self, exchange: str) -> pl.DataFrame:
        """Return candles with missing trades or the status partial."""
        return self._rows(_INCOMPLETE, exchange)

    def read_feed_ends(self, exchange: str) -> pl.DataFrame:
        """Return ENDED: partial candles of symbols without a later trade."""
        rows = self._query(_FEED_ENDS, exchange, **_LENGTHS)
        return rows.select(pl.col(name).cast(kind) for name, kind in FEED_ENDS.items())

    def _rows(self, sql: str, exchange: str, **parameters: object) -> pl.DataFrame:
        rows = self._query(sql, exchange, **_LENGTHS, **parameters)
        columns = {**ROWS, "window_end": pl.Int64}
        return rows.select(pl.col(name).cast(kind) for name, kind in columns.items())
