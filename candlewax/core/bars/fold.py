"""Bars of the trades of one market on one day.

Pure functions over frames: the same trades give the same bars, however they were received.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import polars as pl

from candlewax.core.bars.rules import BarRule
from candlewax.core.schema import PRICE, QUOTE_VOLUME, TIME, Columns

DAY_TRADES: Final[Columns] = {
    "time": pl.Int64,
    "sequence": pl.UInt64,
    "numbering": pl.UInt32,
    "price": PRICE,
    "quantity": PRICE,
    "quote_volume": QUOTE_VOLUME,
    "bought": pl.Boolean,
    "repaired": pl.Boolean,
    "counts": pl.Boolean,
}
"""Stored trades of a market on one day, in the order of candles.

`time`: microseconds since 1970. `counts`: false for trades with conditions, which are in no bar.
"""

BARS: Final[Columns] = {
    "number": pl.UInt32,
    "open": PRICE,
    "high": PRICE,
    "low": PRICE,
    "close": PRICE,
    "volume": PRICE,
    "quote_volume": QUOTE_VOLUME,
    "trade_count": pl.UInt64,
    "buy_volume": PRICE,
    "buy_quote_volume": QUOTE_VOLUME,
    "open_time": TIME,
    "close_time": TIME,
    "first_sequence": pl.UInt64,
    "last_sequence": pl.UInt64,
    "repaired": pl.UInt32,
    "is_full": pl.Boolean,
}
"""Content of bars. `is_full`: the bar has reached its threshold; only the last one may lack it."""

_BOUGHT_VOLUME: Final = pl.when("bought").then("quantity").otherwise(pl.lit(0).cast(PRICE))
_BOUGHT_QUOTE: Final = (
    pl.when("bought").then("quote_volume").otherwise(pl.lit(0).cast(QUOTE_VOLUME))
)


def fold(trades: pl.DataFrame, rule: BarRule) -> pl.DataFrame:
    """Return the bars (BARS) of a day's trades (DAY_TRADES).

    A bar closes with the trade by which it reaches the threshold. A trade is never divided, and
    what exceeds the threshold does not count for the next bar.
    """
    counted = trades.filter("counts")
    ends = _ends(counted, rule)
    number = pl.Series("number", ends, pl.UInt32)
    bar = (pl.int_range(pl.len(), dtype=pl.UInt32)).alias("place")
    placed = counted.with_columns(bar)
    numbers = (
        number.search_sorted(placed["place"], side="left").cast(pl.UInt32)
        if ends
        else pl.zeros(placed.height, pl.UInt32, eager=True)
    )
    bars = (
        placed.with_columns(
            number=numbers, buy_volume=_BOUGHT_VOLUME, buy_quote_volume=_BOUGHT_QUOTE
        )
        .group_by("number", maintain_order=True)
        .agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("quantity").sum().alias("volume"),
            pl.col("quote_volume").sum(),
            pl.len().alias("trade_count"),
            pl.col("buy_volume", "buy_quote_volume").sum(),
            pl.col("time").first().alias("open_time"),
            pl.col("time").last().alias("close_time"),
            pl.col("sequence").first().alias("first_sequence"),
            pl.col("sequence").last().alias("last_sequence"),
            pl.col("repaired").sum(),
        )
    )
    return bars.with_columns(is_full=pl.col("number") < len(ends)).select(
        pl.col(name).cast(kind) for name, kind in BARS.items()
    )


def _ends(trades: pl.DataFrame, rule: BarRule) -> list[int]:
    """Return the place of the last trade of each full bar."""
    if rule.kind == "tick":
        step = int(rule.threshold)
        return list(range(step - 1, trades.height, step))
    name, scale = ("quantity", 12) if rule.kind == "volume" else ("quote_volume", 18)
    threshold = int(rule.threshold.scaleb(scale))
    amounts = trades[name].to_physical()
    return _cut(amounts.cast(pl.Int128).cum_sum().to_list(), threshold)


def _cut(sums: Sequence[int], threshold: int) -> list[int]:
    """Return the places where running sums have grown by the threshold since the last place."""
    ends: list[int] = []
    begin = before = 0
    while (end := bisect_left(sums, before + threshold, begin)) < len(sums):
        ends.append(end)
        begin, before = end + 1, sums[end]
    return ends
