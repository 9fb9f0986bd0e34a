"""History: rows of the tables, and those that are in the archive only.

The views `trades` and `candles` span the tables and the archive. They are read for times before
their cut only, and in windows: a query of all times would open every file of the archive.
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from candlewax.runtime.times import parse_time

CUT_AGE_S: Final = 10.0
"""Seconds for which a cut that was read counts."""

_MARGIN: Final = timedelta(days=1)
"""Trades that are younger than their retention by this are in the tables."""

FIRST_WINDOW: Final = timedelta(days=1)
GROWTH: Final = 4
"""Each window is so many times as long as the one before."""

_SOURCES: Final = {
    "candles": ("ohlcv FINAL", "candles AS ohlcv"),
    "trades": ("silver_trades FINAL", "trades AS silver_trades"),
}
"""The table and the view to read from, by view."""

_TRADES: Final = """
SELECT toDateTime64(timestamp, 6, 'UTC') AS timestamp, toString(side) AS side, price, quantity,
    quote_volume, trade_id, sequence, conditions,
    toDateTime64(received_at, 6, 'UTC') AS received_at
FROM %s
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND silver_trades.timestamp >= {begin:DateTime64(6, 'UTC')}
    AND silver_trades.timestamp < {end:DateTime64(6, 'UTC')}
"""

_AFTER: Final = """ AND (silver_trades.timestamp, sequence, trade_id) %s
    ({at:DateTime64(6, 'UTC')}, {number:UInt64}, {id:String})"""

_ORDER: Final = (
    " ORDER BY silver_trades.timestamp{0}, sequence{0}, trade_id{0} LIMIT {{limit:UInt32}}"
)

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)

_CUT: Final = """
SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = {name:String}
"""

_WHOLE_SINCE: Final = """
SELECT toUnixTimestamp64Micro(since) AS since FROM retention WHERE table = 'silver_trades'
"""

Read = Callable[[str, datetime, datetime, int], pl.DataFrame]
"""Reads at most so many rows of a time range from a source, oldest first."""


def trades_sql(
    source: str, *, last: bool = False, has_cursor: bool = False, has_number: bool = False
) -> str:
    """Return the statement that reads the first or `last` trades of a time range.

    With a cursor: only trades behind it, or before it for the last ones. With a number: only
    trades whose sequence is that number or a greater one.
    """
    after = _AFTER % ("<" if last else ">") if has_cursor else ""
    after += " AND sequence >= {number:UInt64}" if has_number else ""
    return _TRADES % source + after + _ORDER.format(" DESC" if last else "")


class History:
    """Reader of rows wherever they are, which asks the archive only for what is nowhere else."""

    def __init__(self, ask: Callable[[str, dict[str, str]], pl.DataFrame]) -> None:
        self._ask = ask
        self._cuts: dict[str, tuple[float, datetime | None]] = {}

    def read(
        self, view: str, read: Read, begin: datetime, end: datetime, limit: int, *, last: bool
    ) -> pl.DataFrame:
        """Return the first or `last` rows of a time range, oldest first.

        Their first column is their time.
        """
        table, spanning = _SOURCES[view]
        cut = self._cut(view)
        if cut is None or begin >= cut or begin >= end:
            return read(table, begin, end, limit)
        if last:
            newest = read(table, begin, end, limit)
            if newest.height == limit and newest[0, 0].replace(tzinfo=UTC) >= cut:
                return newest
        parts: list[pl.DataFrame] = []
        for lower, upper in _windows(cut, begin, end, last=last):
            parts.append(read(spanning, lower, upper, limit))
            limit -= parts[-1].height
            if not limit:
                break
        return pl.concat(reversed(parts) if last else parts)

    def _cut(self, view: str) -> datetime | None:
        """Return the time before which a view may read the archive; None if it never does."""
        read_at, cut = self._cuts.get(view, (-CUT_AGE_S, None))
        now = time.monotonic()
        if now - read_at >= CUT_AGE_S:
            comment = "".join(self._ask(_CUT, {"name": view})["comment"])
            cut = parse_time(json.loads(comment)["cut"]) if comment else None
            if cut and view == "trades":
                # Trades may be released soon after the cut was read.
                cut = max(cut, self._whole_since() + _MARGIN)
            self._cuts[view] = now, cut
        return cut

    def _whole_since(self) -> datetime:
        (since_us,) = self._ask(_WHOLE_SINCE, {})["since"]
        return _EPOCH + timedelta(microseconds=since_us)


def _windows(
    cut: datetime, begin: datetime, end: datetime, *, last: bool
) -> Iterator[tuple[datetime, datetime]]:
    """Yield parts of a time range: backwards from its end, or forwards from its begin."""
    length = FIRST_WINDOW
    if last:
        upper = end
        while upper > begin:
            lower = max(begin, _plus(min(upper, cut), -length))
            yield lower, upper
            upper, length = lower, length * GROWTH
        return
    lower = begin
    while lower < end:
        upper = end if lower >= cut else min(end, _plus(lower, length))
        yield lower, upper
        lower, length = upper, length * GROWTH


def _plus(moment: datetime, length: timedelta) -> datetime:
    """Return a time later or earlier, but no time that Python does not know."""
    try:
        return moment + length
    except OverflowError:
        return _LATEST if length > timedelta() else _EARLIEST
