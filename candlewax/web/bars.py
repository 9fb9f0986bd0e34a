"""Tick, volume and dollar bars of a market, read from the table `bars`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import QueryError
from candlewax.core.bars.rules import BarRule
from candlewax.web.queries import Store

# `day` only bounds what is read: the table is in its order.
_BARS: Final = """
SELECT toDate32(bars.day) AS day, bars.number AS number, open, high, low, close, volume,
    quote_volume,
    toDecimal128(divideDecimal(bars.quote_volume, bars.volume, 12), 12) AS vwap,
    trade_count, buy_volume, buy_quote_volume,
    toDateTime64(bars.open_time, 6, 'UTC') AS open_time,
    toDateTime64(bars.close_time, 6, 'UTC') AS close_time,
    first_sequence, last_sequence, bars.closed AS closed, toString(bars.status) AS status,
    missing, repaired
FROM bars FINAL
WHERE bars.kind = {kind:String} AND bars.threshold = {threshold:Decimal(38, 12)}
    AND exchange = {exchange:String} AND symbol = {symbol:String}
    AND bars.day >= toDate({begin:DateTime64(6, 'UTC')})
    AND bars.day <= toDate({end:DateTime64(6, 'UTC')})
    AND bars.open_time >= {begin:DateTime64(6, 'UTC')}
    AND bars.open_time < {end:DateTime64(6, 'UTC')}
    AND toUInt8(bars.closed) IN {closed:Array(UInt8)}
    AND (empty({statuses:Array(String)}) OR toString(bars.status) IN {statuses:Array(String)})
"""

_AFTER: Final = " AND (bars.day, bars.number) %s (toDate({day:DateTime64(6, 'UTC')}), {at:UInt32})"

_ORDER: Final = " ORDER BY bars.day{0}, bars.number{0} LIMIT {{limit:UInt32}}"

_RULES: Final = """
SELECT toString(bars.kind) AS kind, threshold
FROM bars
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
GROUP BY bars.kind, threshold
ORDER BY bars.kind, threshold
"""


@dataclass(frozen=True)
class BarSeries:
    """Bars of one market that close by one rule."""

    exchange: str
    symbol: str
    rule: BarRule


@dataclass(frozen=True)
class BarPlace:
    """Place of a bar in its series: the midnight that begins its day, and its number in it."""

    day: datetime
    number: int


@dataclass(frozen=True)
class BarWish:
    """Bars to read: those whose first trade is in a span, the first ones or the last.

    None stands for all. With a place: only bars behind it, or before it for the last ones.
    """

    begin: datetime
    end: datetime
    limit: int
    last: bool
    closed: bool | None = None
    statuses: Sequence[str] | None = None
    place: BarPlace | None = None


def read(store: Store, series: BarSeries, wish: BarWish) -> pl.DataFrame:
    """Return bars, oldest first: the columns of the table, and `vwap`, cut after 12 decimals.

    Raises UnavailableError.
    """
    begin, end, after = wish.begin, wish.end, ""
    values: dict[str, Any] = {
        "kind": series.rule.kind, "threshold": series.rule.threshold,
        "exchange": series.exchange, "symbol": series.symbol, "limit": wish.limit,
        "closed": [0, 1] if wish.closed is None else [int(wish.closed)],
        "statuses": list(wish.statuses or ()),
    }  # fmt: skip
    if wish.place:
        values |= {"day": wish.place.day, "at": wish.place.number}
        after = _AFTER % ("<" if wish.last else ">")
        if wish.last:
            end = min(end, wish.place.day + timedelta(days=1))
        else:
            begin = max(begin, wish.place.day)
    sql = _BARS + after + _ORDER.format(" DESC" if wish.last else "")
    rows = _ask(store, sql, {**values, "begin": begin, "end": end})
    return rows.reverse() if wish.last else rows


def stored_rules(store: Store, exchange: str, symbol: str) -> list[BarRule]:
    """Return the rules of which bars of a market are stored, in order. Raises UnavailableError."""
    rows = _ask(store, _RULES, {"exchange": exchange, "symbol": symbol})
    return [BarRule(*row) for row in rows.iter_rows()]


def _ask(store: Store, sql: str, values: dict[str, Any]) -> pl.DataFrame:
    """Return rows; none of a database of an older version, which has no such table."""
    try:
        return store.ask(sql, values)
    except QueryError as error:
        if "UNKNOWN_TABLE" not in str(error):
            raise
        return pl.DataFrame()
