"""Queries for what the bars of a day follow from, and for the bars that are stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.bars.certificate import DayEvidence
from candlewax.core.bars.day_fold import Checkpoint, MinuteMarks, batches_of, parse_checkpoint
from candlewax.core.bars.fold import DAY_TRADES
from candlewax.core.bars.rules import BarRule
from candlewax.core.candles.open_candles import WATERMARK_DELAY_US

BATCH_ROWS: Final = 100_000
"""Trades read at once, besides those of the rest of a minute."""

_DAY_US: Final = 86_400_000_000

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

# The stored watermark is up to a minute old; the market's own last trade may prove a later one.
_WATERMARK: Final = """
SELECT greatest(
    (
        SELECT toUnixTimestamp64Micro(max(watermark))
        FROM watermarks
        WHERE exchange = {exchange:String}
            AND modulo(CRC32({symbol:String}), greatest(shards, 1)) = shard
    ),
    (
        SELECT toUnixTimestamp64Micro(max(close_time)) - {delay:Int64}
        FROM ohlcv
        WHERE timeframe = '1d' AND exchange = {exchange:String} AND symbol = {symbol:String}
    )
) AS watermark
"""

# The mark of each day and rule, as the last bar has it.
_MARKS: Final = """
SELECT day, toString(kind) AS kind, threshold,
    argMax(day_mark, (number, version, updated_at)) AS mark
FROM bars FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
GROUP BY day, kind, threshold
"""

_MINUTES: Final = """
SELECT toInt64(toUnixTimestamp(window_start)) * 1000000 AS begin, trade_count, missing
FROM ohlcv FINAL
WHERE timeframe = '1m' AND exchange = {exchange:String} AND symbol = {symbol:String}
    AND window_start >= toDateTime({day:Date}, 'UTC')
    AND window_start < toDateTime({day:Date} + 1, 'UTC')
"""

_SPAN: Final = """
FROM silver_trades FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""

_TRADES: Final = f"""
SELECT toUnixTimestamp64Micro(timestamp) AS time, sequence, numbering, price, quantity,
    quote_volume, side = 'BUY' AS bought, via != 'websocket' AS repaired,
    empty(conditions) AS counts
{_SPAN}
ORDER BY timestamp, sequence, source_offset, source_index, trade_id
"""

_TRADES_BY_MINUTE: Final = f"""
SELECT toInt64(toUnixTimestamp(toStartOfMinute(timestamp))) * 1000000 AS minute, count() AS trades
{_SPAN.replace(" FINAL", "")}
GROUP BY minute
ORDER BY minute
"""

_ROWS: Final = f"SELECT count() AS rows {_SPAN}"

_CHECKPOINTS: Final = """
SELECT checkpoint
FROM bars FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String} AND day = {day:Date}
    AND toString(kind) = {kind:String} AND threshold = {threshold:Decimal(38, 12)}
    AND checkpoint != ''
ORDER BY number DESC
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
SELECT * EXCEPT (updated_at, checkpoint) REPLACE (toInt8(status) AS status)
FROM bars FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String} AND day = {day:Date}
    AND toString(kind) = {kind:String} AND threshold = {threshold:Decimal(38, 12)}
    AND number >= {first:UInt32}
ORDER BY number
"""


@dataclass(frozen=True)
class Day:
    """A day of a market whose bars are due, and what they follow from besides its trades."""

    market: dict[str, Any]
    day: dict[str, Any]
    marks: MinuteMarks
    evidence: DayEvidence

    @property
    def span(self) -> dict[str, Any]:
        """Parameters of queries for all of the day."""
        return {**self.market, "begin": self.day["begin"], "end": self.end}

    @property
    def key(self) -> dict[str, Any]:
        """Parameters of queries for its candles and bars."""
        return {**self.market, "day": self.day["day"]}

    @property
    def end(self) -> int:
        """Next midnight in microseconds since 1970."""
        return int(self.day["begin"]) + _DAY_US

    @property
    def has_marks(self) -> bool:
        """Return whether the 1m candles tell of all trades, so that checkpoints can be trusted."""
        return self.marks.trades == int(self.day["trades"])


class BarReader:
    """Reader of one database."""

    def __init__(self, database: Database, batch_rows: int = BATCH_ROWS) -> None:
        self._database = database
        self._batch_rows = batch_rows

    def watermark(self, market: dict[str, Any]) -> int:
        """Return the watermark of a market in microseconds since 1970; 0 without one."""
        parameters = {**market, "delay": WATERMARK_DELAY_US}
        return max(0, int(self._database.query(_WATERMARK, parameters).item()))

    def days(self, market: dict[str, Any], watermark: int) -> list[dict[str, Any]]:
        """Return the days of a market, each with its mark and what is beside it."""
        days = self._database.query(_DAYS, {**market, "watermark": watermark})
        return list(days.iter_rows(named=True))

    def marks(self, market: dict[str, Any]) -> dict[tuple[date, BarRule], int]:
        """Return the mark of each day and rule when its bars were made."""
        rows = self._database.query(_MARKS, market).iter_rows()
        return {(day, BarRule(kind, threshold)): mark for day, kind, threshold, mark in rows}

    def day(self, market: dict[str, Any], row: dict[str, Any], watermark: int) -> Day:
        """Return what the bars of a day follow from besides its trades."""
        begin = row["begin"]
        span = {**market, "begin": begin}
        evidence = DayEvidence(
            watermark,
            watermark >= begin + _DAY_US,
            row["number_before"],
            row["number_after"],
            self._database.query(_CONTRADICTED, span).item(),
        )
        minutes = self._database.query(_MINUTES, {**market, "day": row["day"]})
        return Day(market, row, MinuteMarks(minutes.iter_rows()), evidence)

    def checkpoints(self, day: Day, rule: BarRule) -> list[Checkpoint]:
        """Return the checkpoints before whose minute no candle has changed, the last one first."""
        if not day.has_marks:
            return []
        values = {**day.key, "kind": rule.kind, "threshold": rule.threshold}
        texts = self._database.query(_CHECKPOINTS, values)["checkpoint"]
        found = [one for one in map(parse_checkpoint, texts) if one]
        return [one for one in found if one.mark == day.marks.before(one.minute)]

    def holds(self, day: Day, checkpoint: Checkpoint) -> bool:
        """Return whether as many trades of its minute are stored as when it was made."""
        span = {**day.market, "begin": checkpoint.minute, "end": checkpoint.time + 1}
        return int(self._database.query(_ROWS, span).item()) == checkpoint.rows

    def trades(self, day: Day, begin: int) -> Iterator[pl.DataFrame]:
        """Yield the trades (DAY_TRADES) of a day from a minute on, in order, in batches."""
        span = {**day.span, "begin": begin}
        minutes = self._database.query(_TRADES_BY_MINUTE, span).iter_rows()
        for first, end in batches_of(minutes, day.end, self._batch_rows):
            batch = self._database.query(_TRADES, {**span, "begin": first, "end": end})
            yield batch.cast(DAY_TRADES)  # type: ignore[arg-type]

    def stored(self, day: Day, rule: BarRule, first: int) -> pl.DataFrame:
        """Return the stored bars of a day from a number on."""
        key = {**day.key, "kind": rule.kind, "threshold": rule.threshold}
        return self._database.query(_STORED, {**key, "first": first})
