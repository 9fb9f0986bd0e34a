"""Timeframes, and candle algebra: combining trades, merging candles.

Pure functions over frames. Combining is associative and commutative. In whatever batches and order
trades come, merging the candles of the batches gives the candle of all trades.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import polars as pl

from candlewax.core.schema import CANDLES, PLAIN, PRICE, QUOTE_VOLUME, TIME, WEBSOCKET, Columns
from candlewax.exchanges.protocol.dialect import BUY

SECOND: Final = 1_000_000
"""Microseconds."""

TIMEFRAMES: Final = {
    "1m": (1, 60 * SECOND),
    "5m": (2, 300 * SECOND),
    "15m": (3, 900 * SECOND),
    "30m": (4, 1800 * SECOND),
    "1h": (5, 3600 * SECOND),
    "1d": (6, 86400 * SECOND),
}
"""Name: the value of `timeframe`, and the length in microseconds. Each length divides the next."""

NUMBERS: Final = 8
"""Radix of `timeframe` in the key of a window; above each of its values."""

# Order of the trades of a window: time, then the exchange's numbers, then the source
# coordinates, then the id.
ORDER: Final = ("timestamp", "sequence", "source_offset", "source_index", "trade_id")
OPEN: Final = ("open_time", "first_sequence", "open_offset", "open_index", "open_id")
CLOSE: Final = ("close_time", "last_sequence", "close_offset", "close_index", "close_id")
AMOUNTS: Final = ("volume", "quote_volume", "buy_volume", "buy_quote_volume")
_SUMS: Final = (*AMOUNTS, "trade_count", "repaired", "revision", "unnumbered")

STATE: Final[Columns] = {
    **CANDLES,
    "window_end": pl.Int64,
    "open_offset": pl.UInt64,
    "open_index": pl.UInt16,
    "open_id": pl.String,
    "close_offset": pl.UInt64,
    "close_index": pl.UInt16,
    "close_id": pl.String,
    "unnumbered": pl.UInt32,
}
"""Candles with the columns that merging needs.

`window_end`: microseconds since 1970. `unnumbered`: how many trades have no number.
"""

MINUTE: Final = TIMEFRAMES["1m"][1]
MINUTES: Final = 1 << 27
"""Radix of the minute in keys; there are fewer minutes from 1970 to 2200."""

_MAX_SPAN_US: Final = 1 << 40
"""About twelve days: the trades of most batches lie closer together."""

SINGLE_QUERY_TRADES: Final = 1_000
"""Trades below which one query is the fastest way."""

SYMBOL: Final = pl.col("symbol").to_physical().cast(pl.Int64)
"""The categorical code of a symbol, valid within this process."""

WINDOW: Final = (SYMBOL * NUMBERS + pl.col("timeframe")) * MINUTES + (
    pl.col("window_start").cast(pl.Int64) // MINUTE
)
"""One number for each window of each symbol and timeframe."""


BOUGHT: Final = pl.col("side") == BUY
_TRADE_COLUMNS: Final = (
    "symbol",
    *ORDER,
    pl.col("price").alias("open"),
    pl.col("quantity").alias("volume"),
    "quote_volume",
    pl.when(BOUGHT).then("quantity").otherwise(pl.lit(0).cast(PRICE)).alias("buy_volume"),
    pl.when(BOUGHT)
    .then("quote_volume")
    .otherwise(pl.lit(0).cast(QUOTE_VOLUME))
    .alias("buy_quote_volume"),
    (SYMBOL * MINUTES + pl.col("timestamp").cast(pl.Int64) // MINUTE).alias("key"),
)
_MARK_COLUMNS: Final = (
    (pl.col("via") != WEBSOCKET).cast(pl.UInt32).alias("repaired"),
    (pl.col("sequence") == 0).cast(pl.UInt32).alias("unnumbered"),
)
_SUM_MARKS: Final = [pl.col("repaired", "unnumbered").sum()]
_ZERO_MARKS: Final = [pl.lit(0, pl.UInt32).alias(name) for name in ("repaired", "unnumbered")]
_COMBINE: Final = (
    pl.col("symbol", "open").first(),
    pl.col("open").max().alias("high"),
    pl.col("open").min().alias("low"),
    pl.col("open").last().alias("close"),
    pl.col(AMOUNTS).sum(),
    pl.len().cast(pl.UInt64).alias("trade_count"),
    # `late_trade_counts` sets it: lateness depends on earlier trades.
    pl.lit(0, pl.UInt32).alias("revision"),
    *(pl.col(theirs).first().alias(ours) for ours, theirs in zip(OPEN, ORDER, strict=True)),
    *(pl.col(theirs).last().alias(ours) for ours, theirs in zip(CLOSE, ORDER, strict=True)),
)


def combine(trades: pl.DataFrame) -> pl.DataFrame:
    """Combine trades (TRADES) into one-minute candles (STATE).

    Trades with a condition do not count. The candles of a symbol are in the order of time.
    """
    ordered, marks = _order_trades(trades)
    # A query of its own: inside a lazy one this takes three times as long.
    minutes = ordered.group_by("key", maintain_order=True).agg(*_COMBINE, *marks)
    return minutes.select(_state_columns(1, MINUTE))


def _order_trades(trades: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.Expr]]:
    """Return the trades that count, in order and with `key`, and the aggregates of their marks."""
    if trades["condition"].null_count() < trades.height:
        trades = trades.filter(pl.col("condition").is_null())
    if needs_general_path(trades):
        return _sort_trades(trades.select(*_TRADE_COLUMNS, *_MARK_COLUMNS)), _SUM_MARKS
    return _sort_trades(trades.select(_TRADE_COLUMNS)), _ZERO_MARKS


def needs_general_path(trades: pl.DataFrame) -> bool:
    """Return whether any trade has no number, or was not received over a websocket."""
    if trades.is_empty():
        return False
    via, sequence = trades["via"], trades["sequence"]
    return not (via.min() == via.max() == WEBSOCKET and sequence.min())


@cache
def _state_columns(timeframe: int, length: int) -> list[pl.Expr]:
    """Return the columns of STATE for aggregates named by `key`.

    The key holds the symbol and the number of the window since 1970.
    """
    window = pl.col("key") % MINUTES
    names = {
        "timeframe": pl.lit(timeframe, pl.Int8),
        "window_start": (window * length).cast(TIME),
        "window_end": (window + 1) * length,
    }
    return [names.get(name, pl.col(name)).alias(name) for name in STATE]


def _sort_trades(trades: pl.DataFrame) -> pl.DataFrame:
    """Sort the trades of each symbol by ORDER."""
    if trades.height < SINGLE_QUERY_TRADES:
        return trades.sort(SYMBOL, *ORDER)
    time = pl.col("timestamp").cast(pl.Int64)
    begin, end = trades.select(time.min().alias("begin"), time.max().alias("end")).row(0)
    if begin is None or end - begin >= _MAX_SPAN_US:
        return trades.sort(SYMBOL, *ORDER)
    # One wide number sorts several times faster than five columns do.
    wide = (SYMBOL.cast(pl.Int128) * _MAX_SPAN_US + (time - begin)) * pl.lit(1 << 64, pl.Int128)
    place = trades.select((wide + pl.col("sequence").cast(pl.Int128)).alias("place")).to_series()
    order = place.arg_sort()
    ordered = place.gather(order)
    if (ordered == ordered.shift(1)).any():
        return trades.sort(SYMBOL, *ORDER)
    return trades[order]


_ENDS: Final = (
    pl.col("symbol", "open", *OPEN).first(),
    pl.col("close", *CLOSE).last(),
    pl.col("high").max(),
    pl.col("low").min(),
    pl.col(_SUMS).sum(),
)


def all_timeframes(minutes: pl.DataFrame) -> pl.DataFrame:
    """Return candles (STATE) of all six timeframes.

    In: one-minute candles, each minute of a symbol once, those of a symbol in the order of time.
    """
    frames = [minutes]
    for number, length in list(TIMEFRAMES.values())[1:]:
        # Each length divides the next, so the previous timeframe serves as input.
        frames.append(_roll_up(frames[-1], number, length))
    return pl.concat(frames)


def _roll_up(candles: pl.DataFrame, number: int, length: int) -> pl.DataFrame:
    window = pl.col("window_start").cast(pl.Int64) // length
    return (
        candles.group_by(key=SYMBOL * MINUTES + window, maintain_order=True)
        .agg(_ENDS)
        .select(_state_columns(number, length))
    )


LENGTHS: Final = pl.LazyFrame(
    list(TIMEFRAMES.values()), schema={"timeframe": pl.Int8, "length": pl.Int64}, orient="row"
)
_BEGIN: Final = pl.col("window_start").cast(pl.Int64) // pl.col("length") * pl.col("length")
WINDOWS_OF: Final = (
    _BEGIN.cast(TIME).alias("window_start"),
    (_BEGIN + pl.col("length")).alias("window_end"),
)
_FIRSTS: Final = pl.col("timeframe", "window_start", "window_end").first()


def small_batch_candles(trades: pl.DataFrame) -> pl.LazyFrame:
    """Return a query for the candles of all timeframes of a small batch, with their `key`.

    One query serves: a small batch costs what a query costs, not what its rows cost.
    """
    ordered, marks = _order_trades(trades)
    return (
        ordered.lazy()
        .group_by("key", maintain_order=True)
        .agg(*_COMBINE, *marks)
        .with_columns(window_start=pl.col("key") % MINUTES * MINUTE)
        .join(LENGTHS, how="cross", maintain_order="left_right")
        .with_columns(WINDOWS_OF)
        .group_by(key=WINDOW, maintain_order=True)
        .agg(_FIRSTS, *_ENDS)
    )


def _precedes(columns: Sequence[str], left_prefix: str, right_prefix: str) -> pl.Expr:
    """Return whether one trade precedes another, by the first column that differs."""
    first, *later_columns = columns
    a, b = pl.col(left_prefix + first), pl.col(right_prefix + first)
    return (
        (a < b) | ((a == b) & _precedes(later_columns, left_prefix, right_prefix))
        if later_columns
        else a < b
    )


def _merge_column(name: str) -> pl.Expr:
    """Return a column of two candles of the same window, merged."""
    ours, theirs = pl.col(name), pl.col("their_" + name)
    if name in _SUMS:
        return ours + theirs
    if name == "high":
        return pl.max_horizontal(ours, theirs).alias(name)
    if name == "low":
        return pl.min_horizontal(ours, theirs).alias(name)
    if name in {"open", *OPEN}:
        return pl.when("opens").then(theirs).otherwise(ours).alias(name)
    if name in {"close", *CLOSE}:
        return pl.when("closes").then(theirs).otherwise(ours).alias(name)
    return ours


_MERGE: Final = [_merge_column(name) for name in STATE]
_RENAMED: Final = ["their_" + name for name in STATE]
_EDGES: Final = (
    _precedes(OPEN, "their_", "").alias("opens"),
    _precedes(CLOSE, "", "their_").alias("closes"),
)
"""Flags: the other candle holds the first trade; it holds the last trade."""


def merge(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Merge candles (STATE) of the same windows, row by row."""
    renamed = theirs.clone()
    renamed.columns = _RENAMED
    both = ours.hstack(renamed).lazy().with_columns(_EDGES).select(_MERGE)
    return both.collect(optimizations=PLAIN)
