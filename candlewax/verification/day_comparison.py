"""Comparison of a day of our one-minute candles with the file that an exchange publishes."""

import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from candlewax.clickhouse.client import Database
from candlewax.core.candles.reconciliation import (
    AMOUNTS,
    Comparison,
    OurCandle,
    Result,
    compare,
    missing_candle,
)
from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle
from candlewax.verification import klines
from candlewax.verification.klines import KlinesError

_OURS: Final = f"""
SELECT toUnixTimestamp(window_start) AS start_s, {", ".join(AMOUNTS)}, trade_count, version,
    revision
FROM ohlcv FINAL
WHERE timeframe = '1m' AND exchange = {{exchange:String}} AND symbol = {{symbol:String}}
    AND window_start >= toDateTime({{begin:UInt32}}, 'UTC')
    AND window_start < toDateTime({{end:UInt32}}, 'UTC')
ORDER BY start_s
"""  # noqa: S608 - the columns are constants

_TRADES: Final = """
SELECT count() AS trades, min(sequence) AS first, max(sequence) AS last,
    (SELECT sum(missing) FROM gaps FINAL) AS missing, (SELECT count() FROM dead_letters) AS unread
FROM silver_trades FINAL
"""


class DayTrades(NamedTuple):
    """Trades of a day: their count, first and last number, missing ones, and unreadable lines."""

    trades: int
    first: int
    last: int
    missing: int
    unreadable: int


@dataclass(frozen=True)
class DayComparison:
    """Candles of the exchange, how many equal ours, and the others by start (s since 1970).

    A minute without trades is equal if the exchange's candle is flat and we have none.
    """

    candles: int
    differing: dict[int, Comparison]

    @property
    def equal(self) -> int:
        """Return the number of equal candles."""
        return self.candles - len(self.differing)


def read_trades(database: Database) -> DayTrades:
    """Return what a database with one day of one market holds."""
    return DayTrades(*database.query(_TRADES).row(0))


def compare_day(
    database: Database,
    market: tuple[str, str],
    day: date,
    file: Path,
    rules: CandleRules,
    unpublished: Collection[str] = (),
) -> DayComparison:
    """Compare the stored candles of a market (exchange, unified symbol) with a file of klines.

    Every minute of the day counts that the file or we have. `unpublished` fields are not compared.
    Raises KlinesError.
    """
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    exchange, symbol = market
    span = int(begin.timestamp()), int((begin + timedelta(days=1)).timestamp())
    parameters = {"exchange": exchange, "symbol": symbol, "begin": span[0], "end": span[1]}
    ours = {row[0]: OurCandle(*row) for row in database.query(_OURS, parameters).iter_rows()}
    theirs = {candle.start_s: candle for candle in _read(file, unpublished)}
    if not theirs or not all(span[0] <= start < span[1] for start in theirs):
        raise KlinesError(f"{file}: holds other minutes than those of {day}")
    comparisons = {
        start: _compare(ours.get(start), theirs.get(start), rules)
        for start in sorted(ours.keys() | theirs.keys())
    }
    differing = {start: one for start, one in comparisons.items() if one.result is not Result.EQUAL}
    return DayComparison(len(comparisons), differing)


def _compare(ours: OurCandle | None, theirs: VenueCandle | None, rules: CandleRules) -> Comparison:
    if ours is not None:
        return compare(ours, theirs, rules)
    if theirs is None or theirs.is_empty:
        return Comparison(Result.EQUAL)
    return missing_candle(theirs)


def _read(file: Path, unpublished: Collection[str]) -> Iterator[VenueCandle]:
    try:
        rows = klines.read_binance(_unpack(file)).rows
    except (OSError, zipfile.BadZipFile, KlinesError) as error:
        raise KlinesError(f"{file}: cannot be read: {error}") from error
    for row in rows.iter_rows(named=True):
        amounts = {name: str(row[name]) for name in AMOUNTS if name not in unpublished}
        yield VenueCandle(
            row["window_start"] // 1_000_000, **amounts, trade_count=row["trade_count"]
        )


def _unpack(file: Path) -> bytes:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise KlinesError(f"expected one file within, got {len(names)}")
        return archive.read(names[0])
