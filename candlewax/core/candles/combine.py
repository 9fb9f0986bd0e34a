"""Timeframes, and candle algebra: combining trades, merging candles.

Pure functions over frames. Combining is associative and commutative: however the
trades are cut into batches and in whatever order the batches come, merging their
candles gives the candle of all trades.
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
"""More than any value of `timeframe`: the key of a window has room for so many."""

# Which trade is the first of a window, and which the last: time, then the
# exchange's order, then where it came from. The id settles what is left.
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
"""Candles with what it takes to merge them, the end of their window in microseconds
since 1970, and how many of their trades have no number."""

MINUTE: Final = TIMEFRAMES["1m"][1]
MINUTES: Final = 1 << 27
"""More than there are minutes from 1970 to 2200."""

_SPAN: Final = 1 << 40
"""Microseconds, about twelve days: trades of one batch lie closer together."""

SMALL_BATCH_ROWS: Final = 1_000
"""Trades for which the fewest queries are the fastest way."""

SYMBOL: Final = pl.col("symbol").to_physical().cast(pl.Int64)
"""The code of a symbol, as long as this process runs."""

WINDOW: Final = (SYMBOL * NUMBERS + pl.col("timeframe")) * MINUTES + (
    pl.col("window_start").cast(pl.Int64) // MINUTE
)
"""One number for each window of each symbol and timeframe."""


BOUGHT: Final = pl.col("side") == BUY
_COUNTING: Final = (
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
_MARKS: Final = (
    (pl.col("via") != WEBSOCKET).cast(pl.UInt32).alias("repaired"),
    (pl.col("sequence") == 0).cast(pl.UInt32).alias("unnumbered"),
)
_MARKED: Final = [pl.col("repaired", "unnumbered").sum()]
_UNMARKED: Final = [pl.lit(0, pl.UInt32).alias(name) for name in ("repaired", "unnumbered")]
_COMBINE: Final = (
    pl.col("symbol", "open").first(),
    pl.col("open").max().alias("high"),
    pl.col("open").min().alias("low"),
    pl.col("open").last().alias("close"),
    pl.col(AMOUNTS).sum(),
    pl.len().cast(pl.UInt64).alias("trade_count"),
    # Whether a trade came late depends on those before it, not on itself.
    pl.lit(0, pl.UInt32).alias("revision"),
    *(pl.col(theirs).first().alias(ours) for ours, theirs in zip(OPEN, ORDER, strict=True)),
    *(pl.col(theirs).last().alias(ours) for ours, theirs in zip(CLOSE, ORDER, strict=True)),
)


def combine(trades: pl.DataFrame) -> pl.DataFrame:
    """Make one-minute candles (STATE) of the trades (TRADES) that count; those of a
    symbol are in the order of time.
    """
    ordered, marks = _ordered(trades)
    # As a query of its own: in a lazy one it takes three times as long.
    minutes = ordered.group_by("key", maintain_order=True).agg(*_COMBINE, *marks)
    return minutes.select(_named(1, MINUTE))


def _ordered(trades: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.Expr]]:
    """What candles are made of: the trades that count, in order, with `key`; and what
    counts the odd ones among them.
    """
    if trades["condition"].null_count() < trades.height:
        trades = trades.filter(pl.col("condition").is_null())
    if needs_general_path(trades):
        return _in_order(trades.select(*_COUNTING, *_MARKS)), _MARKED
    return _in_order(trades.select(_COUNTING)), _UNMARKED


def needs_general_path(trades: pl.DataFrame) -> bool:
    """Whether any trade has no number, or did not come over the websocket."""
    if trades.is_empty():
        return False
    via, sequence = trades["via"], trades["sequence"]
    return not (via.min() == via.max() == WEBSOCKET and sequence.min())


@cache
def _named(timeframe: int, length: int) -> list[pl.Expr]:
    """STATE, the name of each candle told by its key: the symbol, and the number of
    its window since 1970.
    """
    window = pl.col("key") % MINUTES
    names = {
        "timeframe": pl.lit(timeframe, pl.Int8),
        "window_start": (window * length).cast(TIME),
        "window_end": (window + 1) * length,
    }
    return [names.get(name, pl.col(name)).alias(name) for name in STATE]


def _in_order(trades: pl.DataFrame) -> pl.DataFrame:
    """The trades of each symbol in their order."""
    if trades.height < SMALL_BATCH_ROWS:
        return trades.sort(SYMBOL, *ORDER)
    time = pl.col("timestamp").cast(pl.Int64)
    begin, end = trades.select(time.min().alias("begin"), time.max().alias("end")).row(0)
    if begin is None or end - begin >= _SPAN:
        return trades.sort(SYMBOL, *ORDER)
    # One wide number sorts several times faster than five columns do.
    wide = (SYMBOL.cast(pl.Int128) * _SPAN + (time - begin)) * pl.lit(1 << 64, pl.Int128)
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
    """Make candles (STATE) of six timeframes of one-minute candles, each minute of
    a symbol once, those of a symbol in the order of time.
    """
    frames = [minutes]
    for number, length in list(TIMEFRAMES.values())[1:]:
        # Each timeframe divides the next: the last made serves.
        frames.append(_roll_up(frames[-1], number, length))
    return pl.concat(frames)


def _roll_up(candles: pl.DataFrame, number: int, length: int) -> pl.DataFrame:
    window = pl.col("window_start").cast(pl.Int64) // length
    return (
        candles.group_by(key=SYMBOL * MINUTES + window, maintain_order=True)
        .agg(_ENDS)
        .select(_named(number, length))
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
    """The same of a few trades, with `key`, which names the window; in one query, as a
    small batch costs a query's price, not a row's.
    """
    ordered, marks = _ordered(trades)
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


def _before(columns: Sequence[str], one: str, other: str) -> pl.Expr:
    """Whether one trade comes before the other, by the first column that differs."""
    first, *rest = columns
    a, b = pl.col(one + first), pl.col(other + first)
    return (a < b) | ((a == b) & _before(rest, one, other)) if rest else a < b


def _merged(name: str) -> pl.Expr:
    """A column of two candles of the same window merged."""
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


_MERGE: Final = [_merged(name) for name in STATE]
_THEIRS: Final = ["their_" + name for name in STATE]
_WHOSE: Final = (
    _before(OPEN, "their_", "").alias("opens"),
    _before(CLOSE, "", "their_").alias("closes"),
)
"""Whether theirs is the first trade, and whether the last."""


def merge(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Merge candles (STATE) of the same windows, row by row."""
    renamed = theirs.clone()
    renamed.columns = _THEIRS
    both = ours.hstack(renamed).lazy().with_columns(_WHOSE).select(_MERGE)
    return both.collect(optimizations=PLAIN)
