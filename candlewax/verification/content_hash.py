"""Comparison of trades and candles of two databases by content hashes.

The hash of rows is the sum of their content hashes modulo 2^128, so neither the order of rows nor
our clocks change it; see `clickhouse/ddl/73_content.sql`.
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
"""Largest number of differing rows listed."""

TABLES: Final = ("silver_trades", "ohlcv")
"""Compared tables."""

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

# Certificates name an outage only after a later trade.
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

Databases = tuple[Database, Database]
Key = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """Count and content hash of some rows."""

    rows: int
    hash: str


@dataclass(frozen=True)
class Day:
    """Day (UTC) of a table in both databases."""

    table: str
    day: date
    stored: Side
    rebuilt: Side

    @property
    def same(self) -> bool:
        """Return True if both hold the same rows."""
        return self.stored == self.rebuilt


@dataclass(frozen=True)
class Comparison:
    """Comparison of all days of both tables, and the first rows that differ.

    Frames do not show what the wall clock did, nor trades still to come: `unsettled` counts candles
    left out for that reason. `revisions` counts candles that differ in their revision only.
    """

    days: list[Day]
    examples: list[dict[str, Any]]
    unsettled: int
    revisions: int

    @property
    def same(self) -> bool:
        """Return True if all days are the same."""
        return all(day.same for day in self.days)


def compare(stored: Database, rebuilt: Database, begin: int, end: int) -> Comparison:
    """Compare the trades from `begin` to before `end`, and the candles whose windows lie within.

    Times are microseconds since 1970. One day is read at a time: hashes by market and hour, and
    single trades only of hours that differ.
    """
    both = (stored, rebuilt)
    days: list[Day] = []
    examples: list[dict[str, Any]] = []
    unsettled = revisions = 0
    for day_begin, day_end in _day_spans(both, begin, end):
        trades, odd_trades = _compare_trades(both, day_begin, day_end)
        candles, odd_candles, left_out, revised = _compare_candles(both, day_begin, day_end, end)
        unsettled += left_out
        revisions += revised
        for day, keys in ((trades, odd_trades), (candles, odd_candles)):
            days.append(day)
            listed = islice(keys, EXAMPLES - len(examples))
            examples += [_example(both, day.table, key) for key in listed]
    non_empty = [day for day in days if day.stored.rows or day.rebuilt.rows]
    non_empty.sort(key=lambda day: TABLES.index(day.table))
    return Comparison(non_empty, examples, unsettled, revisions)


def _day_spans(databases: Databases, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of days with rows, cut to the compared time."""
    parameters = {"begin": begin, "end": end}
    rows = pl.concat([database.query(_DAYS, parameters) for database in databases])
    for day in rows["day"].unique().sort():
        yield max(day, begin), min(day + _DAY, end)


def _compare_trades(databases: Databases, begin: int, end: int) -> tuple[Day, Iterator[Key]]:
    """Return the hashes of a day's trades, and the keys of trades that differ."""
    parameters = {"begin": begin, "end": end}
    stored, rebuilt = (database.query(_HOURS, parameters) for database in databases)
    key = ["hour", "exchange", "symbol"]
    hours = _find_differing(stored, rebuilt, key, ("content", "rows"))
    odd_trades = _find_odd_trades(databases, hours, begin, end)
    return _day("silver_trades", begin, stored, rebuilt), odd_trades


def _find_odd_trades(
    databases: Databases, hours: pl.DataFrame, begin: int, end: int
) -> Iterator[Key]:
    for hour, exchange, symbol in hours.iter_rows():
        market = {"exchange": exchange, "symbol": symbol}
        within = {"begin": max(hour, begin), "end": min(hour + _HOUR, end)}
        stored, rebuilt = (database.query(_TRADES, {**market, **within}) for database in databases)
        for key in _find_differing(stored, rebuilt, ["time", "trade_id"]).iter_rows(named=True):
            yield {**market, **key}


def _compare_candles(
    databases: Databases, begin: int, end: int, last: int
) -> tuple[Day, Iterator[Key], int, int]:
    """Return the hashes of a day's candles, and the keys of candles that differ.

    Then the number of candles left out, and of those that differ in their revision only. Candles
    whose windows end after `last` are ignored.
    """
    ends = pl.col("start") + pl.col("timeframe").replace_strict(_LENGTHS)
    stored, rebuilt = (
        database.query(_CANDLES, {"begin": begin, "end": end})
        .with_columns(end=ends, rows=pl.lit(1, pl.Int64))
        .filter(pl.col("end") <= last)
        for database in databases
    )
    unsettled = _find_unsettled(stored, rebuilt, databases[1])
    stored, rebuilt = (side.join(unsettled, on=_CANDLE, how="anti") for side in (stored, rebuilt))
    day = _day("ohlcv", begin, stored, rebuilt)
    odd_candles = _find_differing(stored, rebuilt, _CANDLE)
    revised = _find_differing(stored, rebuilt, [*_CANDLE, "content"], ("revision",))
    same = revised.join(odd_candles, on=_CANDLE, how="anti").unique(_CANDLE)
    return day, odd_candles.iter_rows(named=True), unsettled.height, same.height


def _find_unsettled(stored: pl.DataFrame, rebuilt: pl.DataFrame, frames: Database) -> pl.DataFrame:
    """Return the keys of candles that frames alone do not settle.

    These are candles that the wall clock closed and no trade; candles that closed during an outage,
    without a later trade of their market; and candles with an outage after which no trade came.
    """
    in_both = stored.join(rebuilt, on=_CANDLE, suffix="_rebuilt")
    closed_by_clock = in_both.filter(pl.col("closed") & ~pl.col("closed_rebuilt"))
    became_complete = (pl.col("status") == "partial") & (pl.col("status_rebuilt") == "complete")
    closed_in_outage = in_both.filter(became_complete)
    if closed_in_outage.height:
        latest = closed_in_outage.join(frames.query(_LATEST), on=["exchange", "symbol"])
        closed_in_outage = latest.filter(pl.col("latest") < pl.col("end"))
    pending = in_both.join(frames.query(_PENDING), on="exchange").filter(
        (pl.col("end") > pl.col("pending")) & (pl.col("content") != pl.col("content_rebuilt"))
    )
    parts = (closed_by_clock, closed_in_outage, pending)
    return pl.concat([part.select(_CANDLE) for part in parts]).unique()


def _find_differing(
    stored: pl.DataFrame,
    rebuilt: pl.DataFrame,
    key: list[str],
    values: tuple[str, ...] = ("content",),
) -> pl.DataFrame:
    """Return the keys of rows that only one side has, or that differ."""
    joined = stored.select(*key, *values).join(
        rebuilt.select(*key, *values), on=key, how="full", coalesce=True, suffix="_rebuilt"
    )
    differs = pl.any_horizontal(pl.col(v).ne_missing(pl.col(f"{v}_rebuilt")) for v in values)
    return joined.filter(differs).select(key).sort(key)


def _day(table: str, begin: int, stored: pl.DataFrame, rebuilt: pl.DataFrame) -> Day:
    day = (_EPOCH + timedelta(microseconds=begin)).date()
    return Day(table, day, _side(stored), _side(rebuilt))


def _side(parts: pl.DataFrame) -> Side:
    # Polars has no exact type of 128 bits for sums, so they are text and Python integers.
    total = sum(map(int, parts["content"])) % 2**128
    return Side(int(parts["rows"].sum()), f"{total:032x}")


def _example(databases: Databases, table: str, key: Key) -> dict[str, Any]:
    stored, rebuilt = (_row(database, table, key) for database in databases)
    texts = {name: _text(name, value) for name, value in key.items()}
    example: dict[str, Any] = {"table": table, **texts}
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
