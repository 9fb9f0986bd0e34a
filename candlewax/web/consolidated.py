"""Consolidated candles: all markets of one base asset, made of their stored candles by SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.web.candle_reader import Wish
from candlewax.web.queries import Store

KINDS: Final = ("spot", "perpetual")
"""Kinds of markets that are consolidated, each by itself."""

_WINDOWS: Final = """
SELECT DISTINCT toDateTime64(ohlcv.window_start, 0, 'UTC') AS window_start
FROM {}
WHERE timeframe = {{timeframe:String}} AND has({{symbols:Array(String)}}, symbol::String)
    AND (exchange::String, {{kind:String}}) NOT IN
        (SELECT exchange, kind FROM consolidated_excluded)
    AND ohlcv.window_start >= {{begin:DateTime('UTC')}}
    AND ohlcv.window_start < {{end:DateTime('UTC')}}
ORDER BY ohlcv.window_start{} LIMIT {{limit:UInt32}}
"""

_CANDLES: Final = """
SELECT * EXCEPT window_end REPLACE (toDateTime64(window_start, 0, 'UTC') AS window_start)
FROM consolidated(
    timeframe = {timeframe:String}, base = {base:String}, quotes = {quotes:Array(String)},
    kind = {kind:String}, begin = {begin:DateTime('UTC')}, end = {end:DateTime('UTC')}
)
ORDER BY window_start
"""


@dataclass(frozen=True)
class Group:
    """Markets that are consolidated: of a base asset and some quote assets, of one kind."""

    base: str
    quotes: Sequence[str]
    kind: str

    @property
    def symbols(self) -> list[str]:
        """Return the unified symbols of the markets."""
        pairs = [f"{self.base}/{quote}" for quote in self.quotes]
        if self.kind == "spot":
            return pairs
        return [f"{pair}:{quote}" for pair, quote in zip(pairs, self.quotes, strict=True)]


def read(store: Store, group: Group, timeframe: str, wish: Wish) -> pl.DataFrame:
    """Return the first or last consolidated candles of a time range, oldest first.

    The columns are those of the view `consolidated`, without `window_end`. The selection of the
    wish does not count. Raises UnavailableError.
    """
    parameters: dict[str, Any] = {
        "timeframe": timeframe, "base": group.base, "quotes": list(group.quotes),
        "kind": group.kind, "symbols": group.symbols,
    }  # fmt: skip

    def read_windows(source: str, begin: datetime, end: datetime, limit: int) -> pl.DataFrame:
        sql = _WINDOWS.format(source, " DESC" if wish.last else "")
        rows = store.ask(sql, {**parameters, "begin": begin, "end": end, "limit": limit})
        return rows.reverse() if wish.last else rows

    windows = store.history.read(
        "candles", read_windows, wish.begin, wish.end, wish.limit, last=wish.last
    )["window_start"]
    if windows.is_empty():
        begin = end = wish.begin
    else:
        begin = windows[0]
        end = windows[-1] + timedelta(microseconds=TIMEFRAMES[timeframe][1])
    return store.ask(_CANDLES, {**parameters, "begin": begin, "end": end})


def amounts_as_text(parts: pl.Expr) -> pl.Expr:
    """Return the column `parts` with exact amounts and times as text, as in JSON."""
    element = pl.element().struct
    amounts = [
        element.field(name)
        .cast(pl.String)
        .str.strip_chars_end("0")
        .str.strip_chars_end(".")
        .alias(name)
        for name in ("close", "volume", "quote_volume", "share")
    ]
    time = element.field("close_time").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").alias("close_time")
    return parts.list.eval(element.with_fields(*amounts, time))
