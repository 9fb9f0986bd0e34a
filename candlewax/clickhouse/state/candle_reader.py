"""What is stored of candles beside their trades: their rows."""

from collections.abc import Callable, Iterator
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import ENDED
from candlewax.core.candles.combine import SECOND, TIMEFRAMES
from candlewax.core.candles.rows import ROWS

_SPANS: Final = 1_000
"""Spans looked for in one query."""

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
"""

_BETWEEN: Final = f"""{_ALL}
    AND ({{every:Bool}} OR symbol IN {{symbols:Array(String)}})
    AND ohlcv.window_start >= fromUnixTimestamp64Micro({{begin:Int64}}, 'UTC')
    AND ohlcv.window_start < fromUnixTimestamp64Micro({{end:Int64}}, 'UTC')
"""

# `after` is the latest of all spans so far, so the last one that began before a
# window's end tells whether any reaches its start.
_TOUCHED: Final = f"""
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

_DOUBTED: Final = f"{_ALL} AND (ohlcv.missing > 0 OR ohlcv.status = 'partial')"

_ENDED: Final = f"""
WITH latest AS
(
    SELECT symbol, max(toUnixTimestamp64Micro(close_time)) AS latest
    FROM ohlcv
    WHERE exchange = {{exchange:String}} AND timeframe = '1d'
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
    """Reads the rows of `ohlcv` of an exchange, each as it is after FINAL, with their
    `window_end` in microseconds since 1970.
    """

    def __init__(self, query: Query) -> None:
        """`query` takes SQL, an exchange, and parameters by name."""
        self._query = query

    def between(
        self, exchange: str, begin: int, end: int, symbols: list[str] | None = None
    ) -> pl.DataFrame:
        """Candles of some symbols, or all, whose windows start in a span of time."""
        return self._rows(
            _BETWEEN, exchange, begin=begin, end=end, every=symbols is None, symbols=symbols or []
        )

    def touched(self, exchange: str, spans: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Candles that lie in spans (TIME_RANGES), some more than once; a span without a symbol
        is one of all symbols.
        """
        # One for each beginning: of several the join takes any.
        longest = spans.group_by("symbol", "before").agg(pl.col("after").max())
        latest = pl.col("after").cum_max().over("symbol")
        reaching = longest.sort("symbol", "before").with_columns(latest)
        every = pl.col("symbol").is_null()
        for some in (reaching.filter(~every), reaching.filter(every)):
            for part in some.iter_slices(_SPANS):
                yield self._touched(exchange, part)

    def _touched(self, exchange: str, spans: pl.DataFrame) -> pl.DataFrame:
        places = spans["symbol"].fill_null("").to_list()
        begin, end = spans.select(pl.col("before").min(), pl.col("after").max()).row(0)
        return self._rows(
            _TOUCHED,
            exchange,
            every=spans["symbol"].null_count() > 0,
            symbols=sorted(set(places)),
            places=places,
            befores=spans["before"].to_list(),
            afters=spans["after"].to_list(),
            # The longest window that reaches the first span.
            begin=max(0, begin - TIMEFRAMES["1d"][1]),
            end=end + 1,
        )

    def doubted(self, exchange: str) -> pl.DataFrame:
        """Candles that are said to be incomplete."""
        return self._rows(_DOUBTED, exchange)

    def ended(self, exchange: str) -> pl.DataFrame:
        """ENDED: those in which the feed ended, or began, and after which nothing came."""
        found = self._query(_ENDED, exchange, **_LENGTHS)
        return found.select(pl.col(name).cast(kind) for name, kind in ENDED.items())

    def _rows(self, sql: str, exchange: str, **parameters: object) -> pl.DataFrame:
        found = self._query(sql, exchange, **_LENGTHS, **parameters)
        columns = {**ROWS, "window_end": pl.Int64}
        return found.select(pl.col(name).cast(kind) for name, kind in columns.items())
