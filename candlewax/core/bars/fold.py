"""Bars of the trades of one market on one day, made batch by batch.

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


_COMBINE: Final = (
    pl.col("open").first(),
    pl.col("high").max(),
    pl.col("low").min(),
    pl.col("close").last(),
    pl.col(
        "volume", "quote_volume", "trade_count", "buy_volume", "buy_quote_volume", "repaired"
    ).sum(),
    pl.col("open_time").first(),
    pl.col("close_time").last(),
    pl.col("first_sequence").first(),
    pl.col("last_sequence").last(),
)
"""Aggregates that make one bar of the parts of it."""


def fold(
    trades: pl.DataFrame, rule: BarRule, begun: pl.DataFrame | None = None, first: int = 0
) -> pl.DataFrame:
    """Return the bars (BARS) of trades (DAY_TRADES), in order; `first` numbers the first one.

    `begun` is the bar that the trades before them have begun, of one row and below its threshold.
    A bar closes with the trade by which it reaches the threshold. A trade is never divided, and
    what exceeds the threshold does not count for the next bar.
    """
    counted = trades.filter("counts")
    ends = _ends(counted, rule, begun)
    number = pl.Series("number", ends, pl.UInt32)
    placed = counted.with_columns(place=pl.int_range(pl.len(), dtype=pl.UInt32))
    numbers = (
        number.search_sorted(placed["place"], side="left").cast(pl.UInt32)
        if ends
        else pl.zeros(placed.height, pl.UInt32, eager=True)
    )
    parts = placed.select(
        number=numbers,
        open="price", high="price", low="price", close="price",
        volume="quantity", quote_volume="quote_volume",
        trade_count=pl.lit(1, pl.UInt64),
        buy_volume=_BOUGHT_VOLUME, buy_quote_volume=_BOUGHT_QUOTE,
        open_time="time", close_time="time",
        first_sequence="sequence", last_sequence="sequence",
        repaired=pl.col("repaired").cast(pl.UInt32),
    )  # fmt: skip
    bars = _combined(parts)
    if begun is not None:
        before = begun.select(pl.lit(0, pl.UInt32).alias("number"), *_NAMES)
        bars = _combined(pl.concat([before, bars.select("number", *_NAMES)]))
    return bars.with_columns(
        is_full=pl.col("number") < len(ends), number=pl.col("number") + first
    ).select(pl.col(name).cast(kind) for name, kind in BARS.items())


_NAMES: Final = tuple(name for name in BARS if name not in {"number", "is_full"})


def _combined(parts: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each number, with the types of BARS."""
    bars = parts.group_by("number", maintain_order=True).agg(*_COMBINE)
    return bars.select(pl.col(name).cast(BARS[name]) for name in ("number", *_NAMES))


def _ends(trades: pl.DataFrame, rule: BarRule, begun: pl.DataFrame | None) -> list[int]:
    """Return the place of the last trade of each full bar."""
    name, scale = {
        "tick": ("trade_count", 0), "volume": ("volume", 12), "dollar": ("quote_volume", 18)
    }[rule.kind]  # fmt: skip
    threshold = int(rule.threshold.scaleb(scale))
    done = 0 if begun is None else int(begun[name].to_physical()[0])
    if rule.kind == "tick":
        return list(range(threshold - 1 - done, trades.height, threshold))
    amounts = trades["quantity" if rule.kind == "volume" else name].to_physical()
    return _cut(amounts.cast(pl.Int128).cum_sum().to_list(), threshold, -done)


def _cut(sums: Sequence[int], threshold: int, before: int) -> list[int]:
    """Return the places where running sums have grown by the threshold since the last place.

    `before` is the sum at the begin of the first bar.
    """
    ends: list[int] = []
    begin = 0
    while (end := bisect_left(sums, before + threshold, begin)) < len(sums):
        ends.append(end)
        begin, before = end + 1, sums[end]
    return ends
