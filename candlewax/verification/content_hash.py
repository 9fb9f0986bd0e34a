"""What two databases hold of the same time, compared by what their rows say.

The hash of rows is the sum of their contents modulo 2^128, which no order of rows and
no clock of ours changes; see `clickhouse/ddl/73_content.sql`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.candles.combine import TIMEFRAMES

EXAMPLES: Final = 20
"""How many rows that differ are shown."""

TABLES: Final = ("silver_trades", "ohlcv")
"""What is compared."""

_DAYS: Final = """
SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfDay(timestamp))) * 1000000 AS day
FROM silver_trades
WHERE timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
UNION DISTINCT
SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfDay(window_start))) * 1000000
FROM ohlcv
WHERE window_start >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND window_start < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""

_HOURS: Final = """
SELECT toString(exchange) AS exchange, toString(symbol) AS symbol,
    toInt64(toUnixTimestamp(toStartOfHour(timestamp))) * 1000000 AS hour,
    toInt64(count()) AS rows, toString(sum(content)) AS content
FROM silver_content
WHERE timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
GROUP BY exchange, symbol, hour
"""

_TRADES: Final = """
SELECT toUnixTimestamp64Micro(timestamp) AS time, trade_id, toString(content) AS content
FROM silver_content
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""

_CANDLES: Final = """
SELECT toString(timeframe) AS timeframe, toString(exchange) AS exchange,
    toString(symbol) AS symbol, toInt64(toUnixTimestamp(window_start)) * 1000000 AS start,
    closed, toString(status) AS status, revision, toString(content) AS content
FROM ohlcv_content
WHERE window_start >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND window_start < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""

# Of an outage certificates tell once a trade has come after it.
_PENDING: Final = """
WITH heard AS
(
    SELECT exchange, max(least(timestamp, received_at)) AS latest
    FROM silver_trades
    GROUP BY exchange
)
SELECT toString(exchange) AS exchange, toUnixTimestamp64Micro(min(outages.began)) AS pending
FROM outages FINAL
LEFT JOIN heard USING exchange
WHERE outages.ended > heard.latest
GROUP BY exchange
"""

_LATEST: Final = """
SELECT toString(exchange) AS exchange, toString(symbol) AS symbol,
    toUnixTimestamp64Micro(max(timestamp)) AS latest
FROM silver_trades
GROUP BY exchange, symbol
"""

_ROW: Final = {
    "silver_trades": """
        SELECT * EXCEPT inserted_at REPLACE (mapSort(vendor_data) AS vendor_data)
        FROM silver_trades FINAL
        WHERE exchange = {exchange:String} AND symbol = {symbol:String}
            AND timestamp = fromUnixTimestamp64Micro({time:Int64}, 'UTC')
            AND trade_id = {trade_id:String}
    """,
    "ohlcv": """
        SELECT * EXCEPT updated_at
        FROM ohlcv FINAL
        WHERE timeframe = {timeframe:String} AND exchange = {exchange:String}
            AND symbol = {symbol:String}
            AND window_start = fromUnixTimestamp64Micro({start:Int64}, 'UTC')
    """,
}

_CANDLE: Final = ["start", "timeframe", "exchange", "symbol"]
_LENGTHS: Final = {name: length for name, (_, length) in TIMEFRAMES.items()}
_DAY: Final = TIMEFRAMES["1d"][1]
_HOUR: Final = TIMEFRAMES["1h"][1]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Two = tuple[Database, Database]
Key = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """Some rows, and the hash of what they say."""

    rows: int
    hash: str


@dataclass(frozen=True)
class Day:
    """A table's day (UTC) in both databases."""

    table: str
    day: date
    stored: Side
    rebuilt: Side

    @property
    def same(self) -> bool:
        """Whether both hold the same."""
        return self.stored == self.rebuilt


@dataclass(frozen=True)
class Comparison:
    """All days of both tables, and the first rows that differ.

    Frames do not tell what the wall clock did, nor what is still to come: `unsettled`
    counts candles that are left out for it, `revisions` those that differ in nothing but
    how many of their trades came after they had closed.
    """

    days: list[Day]
    examples: list[dict[str, Any]]
    unsettled: int
    revisions: int

    @property
    def same(self) -> bool:
        """Whether all days are."""
        return all(day.same for day in self.days)


def compare(stored: Database, rebuilt: Database, begin: int, end: int) -> Comparison:
    """Compare the trades from `begin` to before `end` (microseconds since 1970), and the
    candles whose windows lie wholly within.

    A day is looked at at a time; of trades, hashes by market and hour, and those of
    one market and hour where they differ.
    """
    both = (stored, rebuilt)
    days: list[Day] = []
    examples: list[dict[str, Any]] = []
    unsettled = revisions = 0
    for low, high in _days(both, begin, end):
        trades, odd = _trades(both, low, high)
        candles, wrong, left_out, revised = _candles(both, low, high, end)
        unsettled += left_out
        revisions += revised
        for day, keys in ((trades, odd), (candles, wrong)):
            days.append(day)
            some = islice(keys, EXAMPLES - len(examples))
            examples += [_example(both, day.table, key) for key in some]
    filled = [day for day in days if day.stored.rows or day.rebuilt.rows]
    filled.sort(key=lambda day: TABLES.index(day.table))
    return Comparison(filled, examples, unsettled, revisions)


def _days(both: Two, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The days of which there is something, as far as they lie within."""
    parameters = {"begin": begin, "end": end}
    found = pl.concat([one.query(_DAYS, parameters) for one in both])
    for day in found["day"].unique().sort():
        yield max(day, begin), min(day + _DAY, end)


def _trades(both: Two, begin: int, end: int) -> tuple[Day, Iterator[Key]]:
    """The hashes of a day's trades, and the trades that differ."""
    parameters = {"begin": begin, "end": end}
    stored, rebuilt = (one.query(_HOURS, parameters) for one in both)
    place = ["hour", "exchange", "symbol"]
    hours = _differing(stored, rebuilt, place, ("content", "rows"))
    return _day("silver_trades", begin, stored, rebuilt), _odd_trades(both, hours, begin, end)


def _odd_trades(both: Two, hours: pl.DataFrame, begin: int, end: int) -> Iterator[Key]:
    for hour, exchange, symbol in hours.iter_rows():
        market = {"exchange": exchange, "symbol": symbol}
        within = {"begin": max(hour, begin), "end": min(hour + _HOUR, end)}
        stored, rebuilt = (one.query(_TRADES, {**market, **within}) for one in both)
        for key in _differing(stored, rebuilt, ["time", "trade_id"]).iter_rows(named=True):
            yield {**market, **key}


def _candles(both: Two, begin: int, end: int, last: int) -> tuple[Day, Iterator[Key], int, int]:
    """The same of the candles of windows that end by `last`; how many are left out, and
    how many differ in their revision only.
    """
    ends = pl.col("start") + pl.col("timeframe").replace_strict(_LENGTHS)
    stored, rebuilt = (
        one.query(_CANDLES, {"begin": begin, "end": end})
        .with_columns(end=ends, rows=pl.lit(1, pl.Int64))
        .filter(pl.col("end") <= last)
        for one in both
    )
    unsettled = _unsettled(stored, rebuilt, both[1])
    stored, rebuilt = (side.join(unsettled, on=_CANDLE, how="anti") for side in (stored, rebuilt))
    day = _day("ohlcv", begin, stored, rebuilt)
    wrong = _differing(stored, rebuilt, _CANDLE)
    revised = _differing(stored, rebuilt, [*_CANDLE, "content"], ("revision",))
    same = revised.join(wrong, on=_CANDLE, how="anti").unique(_CANDLE)
    return day, wrong.iter_rows(named=True), unsettled.height, same.height


def _unsettled(stored: pl.DataFrame, rebuilt: pl.DataFrame, frames: Database) -> pl.DataFrame:
    """Which candles of both are not told by frames alone: no trade has closed them, but
    the wall clock has; or they closed while the feed was down and no trade of their
    market has told since what was missed; or no trade has come since an outage in them.
    """
    met = stored.join(rebuilt, on=_CANDLE, suffix="_rebuilt")
    early = met.filter(pl.col("closed") & ~pl.col("closed_rebuilt"))
    down = (pl.col("status") == "partial") & (pl.col("status_rebuilt") == "complete")
    ended = met.filter(down)
    if ended.height:
        latest = ended.join(frames.query(_LATEST), on=["exchange", "symbol"])
        ended = latest.filter(pl.col("latest") < pl.col("end"))
    pending = met.join(frames.query(_PENDING), on="exchange").filter(
        (pl.col("end") > pl.col("pending")) & (pl.col("content") != pl.col("content_rebuilt"))
    )
    return pl.concat([part.select(_CANDLE) for part in (early, ended, pending)]).unique()


def _differing(
    stored: pl.DataFrame,
    rebuilt: pl.DataFrame,
    key: list[str],
    values: tuple[str, ...] = ("content",),
) -> pl.DataFrame:
    """The keys of what only one side has, or both say differently."""
    both = stored.select(*key, *values).join(
        rebuilt.select(*key, *values), on=key, how="full", coalesce=True, suffix="_rebuilt"
    )
    differs = pl.any_horizontal(pl.col(v).ne_missing(pl.col(f"{v}_rebuilt")) for v in values)
    return both.filter(differs).select(key).sort(key)


def _day(table: str, begin: int, stored: pl.DataFrame, rebuilt: pl.DataFrame) -> Day:
    day = (_EPOCH + timedelta(microseconds=begin)).date()
    return Day(table, day, _side(stored), _side(rebuilt))


def _side(parts: pl.DataFrame) -> Side:
    # Numbers of 128 bits are exact as text and as integers of Python only.
    total = sum(map(int, parts["content"])) % 2**128
    return Side(int(parts["rows"].sum()), f"{total:032x}")


def _example(both: Two, table: str, key: Key) -> dict[str, Any]:
    stored, rebuilt = (_row(one, table, key) for one in both)
    named = {name: _text(name, value) for name, value in key.items()}
    example: dict[str, Any] = {"table": table, **named}
    if stored is None or rebuilt is None:
        return {**example, "problem": "only_stored" if stored else "only_rebuilt", "fields": {}}
    fields = {
        name: {"stored": str(value), "rebuilt": str(rebuilt.get(name))}
        for name, value in stored.items()
        if value != rebuilt.get(name)
    }
    return {**example, "problem": "differs", "fields": fields}


def _row(database: Database, table: str, key: Key) -> Mapping[str, Any] | None:
    rows = database.query(_ROW[table], key).rows(named=True)
    return rows[0] if rows else None


def _text(name: str, value: Any) -> str:  # noqa: ANN401
    if name in {"time", "start"}:
        return f"{_EPOCH + timedelta(microseconds=value):%Y-%m-%d %H:%M:%S.%f}"
    return str(value)
