"""Table `bars`: bars of stored trades, written again whenever the trades of their day change."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl

from candlewax.clickhouse import arrow
from candlewax.clickhouse.client import Database
from candlewax.core.bars.certificate import DayEvidence, certify
from candlewax.core.bars.fold import DAY_TRADES, fold
from candlewax.core.bars.rules import KINDS, BarRule
from candlewax.core.schema import PRICE, TIME

_log: Final = logging.getLogger("candlewax")

# Day candles of a market, each with the numbers beside it and the mark of all that its bars follow
# from: they are made again if it differs from that of the last bar.
_DAYS: Final = """
SELECT
    toDate(window_start) AS day,
    toInt64(toUnixTimestamp(window_start)) * 1000000 AS begin,
    trade_count AS trades,
    closed,
    lagInFrame(toNullable(last_sequence)) OVER beside AS number_before,
    leadInFrame(toNullable(first_sequence)) OVER beside AS number_after,
    cityHash64(version, toString(status), missing, ifNull(number_before, 0),
        ifNull(number_after, 0), least({watermark:Int64}, begin + 86400000000)) AS mark
FROM ohlcv FINAL
WHERE timeframe = '1d' AND exchange = {exchange:String} AND symbol = {symbol:String}
WINDOW beside AS (ORDER BY window_start ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
ORDER BY day
"""

_WATERMARK: Final = """
SELECT toUnixTimestamp64Micro(max(watermark)) AS watermark
FROM watermarks
WHERE exchange = {exchange:String} AND modulo(CRC32({symbol:String}), greatest(shards, 1)) = shard
"""

# The mark of each day and rule, as the last bar has it.
_MARKS: Final = """
SELECT day, toString(kind) AS kind, threshold,
    argMax(day_mark, (number, version, updated_at)) AS mark
FROM bars FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
GROUP BY day, kind, threshold
"""

_TRADES: Final = """
SELECT toUnixTimestamp64Micro(timestamp) AS time, sequence, numbering, price, quantity,
    quote_volume, side = 'BUY' AS bought, via != 'websocket' AS repaired,
    empty(conditions) AS counts
FROM silver_trades FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({begin:Int64} + 86400000000, 'UTC')
ORDER BY timestamp, sequence, source_offset, source_index, trade_id
"""

_CONTRADICTED: Final = """
SELECT minOrNull(toUnixTimestamp64Micro(moment)) AS time
FROM contradictions
ARRAY JOIN [stored_timestamp, timestamp] AS moment
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND moment >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND moment < fromUnixTimestamp64Micro({begin:Int64} + 86400000000, 'UTC')
"""

_STORED: Final = """
SELECT * EXCEPT (updated_at) REPLACE (toInt8(status) AS status)
FROM bars FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String} AND day = {day:Date}
    AND toString(kind) = {kind:String} AND threshold = {threshold:Decimal(38, 12)}
ORDER BY number
"""

_CONTENT: Final = (
    "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "buy_volume",
    "buy_quote_volume", "open_time", "close_time", "first_sequence", "last_sequence", "repaired",
    "missing", "status", "closed",
)  # fmt: skip
"""Columns of a bar that are compared with the stored ones."""

_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True)
class Refreshed:
    """Result of a look at a market: days whose bars were made, and rows that were stored.

    `newest_us`: time of the last trade in them, in microseconds since 1970; 0 without bars.
    """

    days: int = 0
    rows: int = 0
    newest_us: int = 0

    def __add__(self, other: "Refreshed") -> "Refreshed":
        newest_us = max(self.newest_us, other.newest_us)
        return Refreshed(self.days + other.days, self.rows + other.rows, newest_us)


class BarTable:
    """Bars of markets, made of all stored trades of a day whenever its day candle has changed.

    Nothing is kept in memory but what was logged: after a kill the next process goes on from the
    tables.
    Delivery: a row that is stored twice replaces itself.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: set[tuple[str, str, date]] = set()

    def refresh(self, exchange: str, symbol: str, rules: Sequence[BarRule]) -> Refreshed:
        """Make the bars of all days of a market that have changed, and store them."""
        market = {"exchange": exchange, "symbol": symbol}
        watermark = int(self._database.query(_WATERMARK, market).item() or 0)
        days = self._database.query(_DAYS, {**market, "watermark": watermark})
        marks = {
            (day, kind, threshold): mark
            for day, kind, threshold, mark in self._database.query(_MARKS, market).iter_rows()
        }
        done = Refreshed()
        for day in days.iter_rows(named=True):
            due = [
                rule
                for rule in rules
                if marks.get((day["day"], rule.kind, rule.threshold)) != day["mark"]
            ]
            if due:
                done += self._refresh_day(market, day, watermark, due)
        return done

    def _refresh_day(
        self, market: dict[str, Any], day: dict[str, Any], watermark: int, rules: Sequence[BarRule]
    ) -> Refreshed:
        span = {**market, "begin": day["begin"]}
        trades = self._database.query(_TRADES, span).cast(DAY_TRADES)  # type: ignore[arg-type]
        counted = int(trades["counts"].sum())
        if counted < day["trades"]:
            self._tell_lack(market, day, counted)
            return Refreshed()
        is_closed = watermark >= day["begin"] + _DAY_US
        evidence = DayEvidence(
            watermark,
            is_closed,
            day["number_before"],
            day["number_after"],
            self._database.query(_CONTRADICTED, span).item(),
        )
        rows = 0
        for rule in rules:
            bars = certify(fold(trades, rule), trades, evidence)
            rows += self._store(market, day, rule, bars, 2 * counted + is_closed)
        return Refreshed(1, rows, int(trades.filter("counts")["time"][-1]))

    def _store(
        self, market: dict[str, Any], day: dict[str, Any], rule: BarRule, bars: pl.DataFrame,
        version: int,
    ) -> int:  # fmt: skip
        """Store the bars that differ from the stored ones, and the last one with the day's mark."""
        key = {**market, "day": day["day"], "kind": rule.kind, "threshold": rule.threshold}
        stored = self._database.query(_STORED, key)
        known = {row["number"]: _content(row) for row in _plain(stored)}
        changed = [
            row["number"]
            for row in bars.iter_rows(named=True)
            if known.get(row["number"]) != _content(row)
        ]
        last = bars["number"].max()
        rows = bars.filter(pl.col("number").is_in([*changed, last])).select(
            pl.lit(KINDS[rule.kind], pl.Int8).alias("kind"),
            pl.lit(rule.threshold).cast(PRICE).alias("threshold"),
            pl.lit(market["exchange"]).alias("exchange"),
            pl.lit(market["symbol"]).alias("symbol"),
            pl.lit(day["day"]).alias("day"),
            "number",
            *_CONTENT,
            pl.lit(version, pl.UInt64).alias("version"),
            pl.lit(day["mark"], pl.UInt64).alias("day_mark"),
        )
        table = arrow.rows("bars", [rows])
        token = f"bars-{os.urandom(16).hex()}"
        self._database.with_retries(lambda: self._database.insert("bars", table, token))
        return rows.height

    def _tell_lack(self, market: dict[str, Any], day: dict[str, Any], counted: int) -> None:
        """Log once that the bars of a day stay as they are, as trades of it are gone."""
        key = market["exchange"], market["symbol"], day["day"]
        if key not in self._told:
            self._told.add(key)
            text = "bars of %s %s on %s stay as they are: %s of its %s trades are stored"
            _log.warning(text, *key, f"{counted:,}", f"{day['trades']:,}")


def _content(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _CONTENT)


def _plain(stored: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield stored bars with the types of new ones."""
    times = [pl.col(name).cast(TIME) for name in ("open_time", "close_time")]
    yield from stored.with_columns(times).iter_rows(named=True)
