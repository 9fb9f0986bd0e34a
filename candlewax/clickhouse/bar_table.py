"""Table `bars`: bars of stored trades, written again whenever the trades of their day change.

A round goes on from the last checkpoint that still holds. So it reads the trades after the end of
a bar, in batches, and what it costs does not grow with the day.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from candlewax.clickhouse import arrow
from candlewax.clickhouse.bar_reader import BATCH_ROWS, BarReader, Day
from candlewax.clickhouse.client import Database
from candlewax.core.bars.certificate import certify
from candlewax.core.bars.day_fold import Checkpoint, DayFold
from candlewax.core.bars.rules import KINDS, BarRule
from candlewax.core.schema import PRICE

_log: Final = logging.getLogger("candlewax")

_CONTENT: Final = (
    "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "buy_volume",
    "buy_quote_volume", "open_time", "close_time", "first_sequence", "last_sequence", "repaired",
    "missing", "status", "closed",
)  # fmt: skip
"""Columns of a bar that are compared with the stored ones."""


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
    """Bars of markets, made of the stored trades of a day whenever its day candle has changed.

    Nothing is kept in memory but what was logged: after a kill the next process goes on from the
    tables, at the last checkpoint of the day before which no trade has changed.
    Delivery: a row that is stored twice replaces itself.
    """

    def __init__(self, database: Database, batch_rows: int = BATCH_ROWS) -> None:
        self._database = database
        self._reader = BarReader(database, batch_rows)
        self._told: set[tuple[str, str, date]] = set()

    def refresh(self, exchange: str, symbol: str, rules: Sequence[BarRule]) -> Refreshed:
        """Make the bars of all days of a market that have changed, and store them."""
        market = {"exchange": exchange, "symbol": symbol}
        watermark = self._reader.watermark(market)
        days = self._reader.days(market, watermark)
        marks = self._reader.marks(market)
        done = Refreshed()
        for row in days:
            due = [rule for rule in rules if marks.get((row["day"], rule)) != row["mark"]]
            if due:
                done += self._refresh_day(self._reader.day(market, row, watermark), due)
        return done

    def _refresh_day(self, day: Day, rules: Sequence[BarRule]) -> Refreshed:
        checkpoints = {rule: self._reader.checkpoints(day, rule) for rule in rules}
        starts = {
            rule: next((one for one in known if self._reader.holds(day, one)), None)
            for rule, known in checkpoints.items()
        }
        folds = self._fold(day, starts)
        counted = min(one.trades for one in folds.values())
        if counted < day.day["trades"]:
            self._tell_lack(day, counted)
            return Refreshed()
        folds |= self._fold(day, dict(self._unproven(day, folds, checkpoints)))
        rows = sum(self._store(day, rule, one) for rule, one in folds.items())
        return Refreshed(1, rows, max(one.last_time for one in folds.values()))

    def _fold(self, day: Day, starts: dict[BarRule, Checkpoint | None]) -> dict[BarRule, DayFold]:
        """Fold trades of a day by several rules, each from its checkpoint or midnight on."""
        folds = {
            rule: DayFold(rule, day.marks, day.evidence.watermark, start)
            for rule, start in starts.items()
        }
        if folds:
            begins = (start.minute if start else day.day["begin"] for start in starts.values())
            for batch in self._reader.trades(day, min(begins)):
                for one in folds.values():
                    one.add(batch)
        return folds

    def _unproven(
        self,
        day: Day,
        folds: dict[BarRule, DayFold],
        checkpoints: dict[BarRule, list[Checkpoint]],
    ) -> Iterator[tuple[BarRule, Checkpoint | None]]:
        """Yield rules of which earlier bars get another certificate, and where to begin again."""
        for rule, one in folds.items():
            if not one.start or one.start.is_proven(one.numbers, day.evidence):
                continue
            proven = (
                known
                for known in checkpoints[rule]
                if known.is_proven(one.numbers, day.evidence) and self._reader.holds(day, known)
            )
            yield rule, next(proven, None)

    def _store(self, day: Day, rule: BarRule, done: DayFold) -> int:
        """Store the bars that differ from the stored ones, and the last one with the day's mark."""
        made = done.result()
        bars = certify(made.bars, done.numbers, day.evidence)
        checkpoints = {
            one.number: one.to_text(done.numbers, day.evidence)
            for one in made.checkpoints
            if day.has_marks
        }
        stored = self._reader.stored(day, rule, int(bars["number"][0]))
        due = pl.concat(
            [_changed(bars, stored), pl.Series([*checkpoints, bars["number"][-1]], dtype=pl.UInt32)]
        )
        version = 2 * done.trades + day.evidence.is_closed
        rows = bars.filter(pl.col("number").is_in(due.implode())).select(
            pl.lit(KINDS[rule.kind], pl.Int8).alias("kind"),
            pl.lit(rule.threshold).cast(PRICE).alias("threshold"),
            pl.lit(day.market["exchange"]).alias("exchange"),
            pl.lit(day.market["symbol"]).alias("symbol"),
            pl.lit(day.day["day"]).alias("day"),
            "number",
            *_CONTENT,
            pl.lit(version, pl.UInt64).alias("version"),
            pl.lit(day.day["mark"], pl.UInt64).alias("day_mark"),
            pl.col("number").replace_strict(
                checkpoints or {0: ""}, default="", return_dtype=pl.String
            ).alias("checkpoint"),
        )  # fmt: skip
        table = arrow.rows("bars", [rows])
        token = f"bars-{os.urandom(16).hex()}"
        self._database.with_retries(lambda: self._database.insert("bars", table, token))
        return rows.height

    def _tell_lack(self, day: Day, counted: int) -> None:
        """Log once that the bars of a day stay as they are, as trades of it are gone."""
        key = day.market["exchange"], day.market["symbol"], day.day["day"]
        if key not in self._told:
            self._told.add(key)
            text = "bars of %s %s on %s stay as they are: %s of its %s trades are stored"
            _log.warning(text, *key, f"{counted:,}", f"{day.day['trades']:,}")


def _changed(bars: pl.DataFrame, stored: pl.DataFrame) -> pl.Series:
    """Return the numbers of the bars that are not stored as they are."""
    names = ["number", *_CONTENT]
    known = stored.select(pl.col(name).cast(bars.schema[name]) for name in names)
    return bars.join(known, on=names, how="anti")["number"]
