"""Candle algebra: combining trades, merging candles, closing windows.

Pure functions over frames. Combining is associative and commutative: however the
trades are cut into batches and in whatever order the batches come, merging their
candles gives the candle of all trades.
"""

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from candlewax.schema import BUY, CANDLES, PRICE, QUOTE_VOLUME, TIME, Columns, empty

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
"""Name: the value of `timeframe`, and the length in microseconds."""

GRACE: Final = SECOND
"""How far the watermark stays behind the latest trade, in microseconds."""

LATENESS: Final = 900 * SECOND
"""How long a closed candle is kept to be changed, in microseconds."""

# Which trade is the first of a window, and which the last: time, then the
# exchange's order, then where it came from. The id settles what is left.
_ORDER: Final = ("timestamp", "sequence", "source_offset", "source_index", "trade_id")
_OPEN: Final = ("open_time", "first_sequence", "open_offset", "open_index", "open_id")
_CLOSE: Final = ("close_time", "last_sequence", "close_offset", "close_index", "close_id")
_WINDOW: Final = ("timeframe", "symbol", "window_start")
_SUMS: Final = ("volume", "quote_volume", "trade_count", "buy_volume", "buy_quote_volume")

STATE: Final[Columns] = {
    **CANDLES,
    "open_offset": pl.UInt64,
    "open_index": pl.UInt16,
    "open_id": pl.String,
    "close_offset": pl.UInt64,
    "close_index": pl.UInt16,
    "close_id": pl.String,
}
"""Candles with what it takes to merge them."""

_LENGTH: Final = pl.col("timeframe").replace_strict(
    dict(TIMEFRAMES.values()), return_dtype=pl.Int64
)
WINDOW_END: Final = pl.col("window_start").cast(pl.Int64) + _LENGTH
"""The end of a candle's window, in microseconds since 1970."""


def combine(trades: pl.DataFrame) -> pl.DataFrame:
    """Make one-minute candles (STATE) of the trades (TRADES) that count."""
    bought = pl.col("side") == BUY
    return (
        trades.filter(pl.col("condition").is_null())
        .select(
            *_ORDER,
            "symbol",
            "price",
            "quantity",
            "quote_volume",
            buy_volume=pl.when(bought).then("quantity").otherwise(pl.lit(0).cast(PRICE)),
            buy_quote_volume=pl.when(bought)
            .then("quote_volume")
            .otherwise(pl.lit(0).cast(QUOTE_VOLUME)),
            window_start=_floor("timestamp", TIMEFRAMES["1m"][1]),
            place=pl.col("symbol").to_physical(),
        )
        .sort("place", *_ORDER)
        .group_by("symbol", "window_start", maintain_order=True)
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("quantity").sum(),
            quote_volume=pl.col("quote_volume").sum(),
            trade_count=pl.len().cast(pl.UInt64),
            buy_volume=pl.col("buy_volume").sum(),
            buy_quote_volume=pl.col("buy_quote_volume").sum(),
            **{ours: pl.col(theirs).first() for ours, theirs in zip(_OPEN, _ORDER, strict=True)},
            **{ours: pl.col(theirs).last() for ours, theirs in zip(_CLOSE, _ORDER, strict=True)},
        )
        .with_columns(timeframe=pl.lit(1, pl.Int8))
        .select(*STATE)
    )


def all_timeframes(minutes: pl.DataFrame) -> pl.DataFrame:
    """Make candles (STATE) of six timeframes of one-minute candles, each minute of
    a symbol once and in order."""
    frames = [minutes]
    for number, length in list(TIMEFRAMES.values())[1:]:
        # Each timeframe divides the next but one or the next: the last made serves.
        frames.append(_roll_up(frames[-1], number, length))
    return pl.concat(frames)


def _roll_up(candles: pl.DataFrame, number: int, length: int) -> pl.DataFrame:
    return (
        candles.with_columns(window_start=_floor("window_start", length))
        .group_by("symbol", "window_start", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in ("open", *_OPEN)),
            *(pl.col(name).last() for name in ("close", *_CLOSE)),
            *_totals(),
        )
        .with_columns(timeframe=pl.lit(number, pl.Int8))
        .select(*STATE)
    )


def _totals() -> list[pl.Expr]:
    sums = [pl.col(name).sum() for name in _SUMS]
    return [pl.col("high").max(), pl.col("low").min(), *sums]


def _floor(column: str, length: int) -> pl.Expr:
    return (pl.col(column).cast(pl.Int64) // length * length).cast(TIME)


def merge(candles: pl.DataFrame) -> pl.DataFrame:
    """Merge candles (STATE) of the same window into one each."""
    opened = (
        candles.sort(_OPEN)
        .group_by(_WINDOW, maintain_order=True)
        .agg(*(pl.col(name).first() for name in ("open", *_OPEN)), *_totals())
    )
    closed = (
        candles.sort(_CLOSE)
        .group_by(_WINDOW, maintain_order=True)
        .agg(pl.col(name).last() for name in ("close", *_CLOSE))
    )
    return opened.join(closed, on=_WINDOW).select(*STATE)


@dataclass(frozen=True)
class Book:
    """The candles of one exchange that can still change, and its watermark.

    `candles`: STATE, one row a window. `watermark`: microseconds since 1970; a
    candle is closed if its window ended by then.
    """

    candles: pl.DataFrame
    watermark: int = 0


EMPTY: Final = Book(empty(STATE))


@dataclass(frozen=True)
class Update:
    """What a batch of trades changed.

    `changed`: CANDLES with `closed` (Boolean), as they now are. `late`: timeframe,
    symbol, window_start of the candles that trades belong to which came after their
    state was dropped; these have to be computed from all their trades.
    """

    book: Book
    changed: pl.DataFrame
    late: pl.DataFrame


def update(book: Book, trades: pl.DataFrame, watermark: int, lateness: int = LATENESS) -> Update:
    """Put new trades (TRADES) into the book and move its watermark on.

    `watermark` is the batch's own; the book's never moves back.
    """
    candles = all_timeframes(combine(trades))
    dropped = candles.filter(WINDOW_END + lateness <= book.watermark).select(_WINDOW)
    late = dropped.join(book.candles, on=_WINDOW, how="anti")
    if late.height:
        candles = candles.join(late, on=_WINDOW, how="anti")
    touched = book.candles.join(candles, on=_WINDOW, how="semi")
    merged = candles
    if touched.height:
        known = candles.join(touched, on=_WINDOW, how="semi")
        new = candles.join(touched, on=_WINDOW, how="anti")
        merged = pl.concat([new, merge(pl.concat([touched, known]))])
    untouched = book.candles.join(candles, on=_WINDOW, how="anti") if touched.height else book.candles
    moved = max(watermark, book.watermark)
    closing = untouched.filter((WINDOW_END > book.watermark) & (WINDOW_END <= moved))
    changed = pl.concat([merged, closing]).select(*CANDLES, closed=WINDOW_END <= moved)
    kept = pl.concat([untouched, merged]).filter(WINDOW_END + lateness > moved)
    return Update(replace(book, candles=kept, watermark=moved), changed, late)


def watermark(trades: pl.DataFrame, grace: int = GRACE) -> int:
    """The watermark that a batch of trades (TRADES) gives, in microseconds; 0 for
    none."""
    latest = trades.select(pl.col("timestamp").max().cast(pl.Int64)).item()
    return max(0, latest - grace) if latest is not None else 0


def seed(minutes: pl.DataFrame, at: int) -> Book:
    """The book that trades make which came before its process did.

    In: their one-minute candles (STATE), in order; the watermark.
    """
    return Book(all_timeframes(minutes).filter(WINDOW_END + LATENESS > at), at)
