"""The book: the candles that can still change, and how far the exchange's time has come.

Pure functions over frames and state.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from candlewax.candles import (
    FEW,
    MINUTE,
    SECOND,
    STATE,
    WINDOW,
    all_timeframes,
    at_once,
    combine,
    merge,
)
from candlewax.schema import PLAIN, empty

GRACE: Final = SECOND
"""How far the watermark stays behind the latest trade, in microseconds."""

LATENESS: Final = 900 * SECOND
"""How long a closed candle is kept to be changed, in microseconds."""


@dataclass(frozen=True)
class Book:
    """The candles of one exchange that can still change, and its watermark.

    `candles`: STATE, one row a window. `watermark`: microseconds since 1970; a
    candle is closed if its window ended by then.
    """

    candles: pl.DataFrame
    watermark: int = 0


EMPTY: Final = Book(empty(STATE))


def seed(minutes: pl.DataFrame, watermark: int, lateness: int = LATENESS) -> Book:
    """The book at a watermark, of the one-minute candles (STATE) of all trades that
    it can still depend on, those of a symbol in the order of time.
    """
    candles = all_timeframes(minutes)
    return Book(candles.filter(pl.col("window_end") + lateness > watermark), watermark)


@dataclass(frozen=True)
class Update:
    """What a batch of trades changed.

    `changed`: STATE, the changed candles as they now are, each once. `late`: STATE,
    parts of candles whose state was dropped before these trades came; they have to
    be computed from all their trades.
    """

    book: Book
    changed: pl.DataFrame
    late: pl.DataFrame


def update(book: Book, trades: pl.DataFrame, watermark: int, lateness: int = LATENESS) -> Update:
    """Put new trades (TRADES) into the book and move its watermark on.

    `watermark` is the batch's own; the book's never moves back.
    """
    state = book.candles
    moved = max(watermark, book.watermark)
    new, place = _placed(trades, state)
    known = place.is_not_null()
    touched = place.drop_nulls()
    unknown, seen = (new.clear(), new) if known.all() else (new.filter(~known), new.filter(known))
    opened, too_late = _opened(unknown, book.watermark - lateness)
    merged = merge(state[touched], seen)
    if opened.height:
        merged = pl.concat([merged, opened])
    stays = pl.Series([True]).new_from_index(0, state.height).scatter(touched, False)
    untouched = state.filter(stays)
    # In one piece: a state of thousands of pieces is slower with each batch.
    kept = pl.concat([untouched, merged], rechunk=True)
    if moved // MINUTE == book.watermark // MINUTE:
        # Windows end on whole minutes: none closes, and none is given up.
        return Update(Book(kept, moved), merged, too_late)
    end = pl.col("window_end")
    closing = untouched.filter((end > book.watermark) & (end <= moved))
    kept = kept.filter(end + lateness > moved)
    return Update(Book(kept, moved), pl.concat([merged, closing]), too_late)


_PLACES: Final = (WINDOW.alias("key"), pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))


def _placed(trades: pl.DataFrame, state: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Candles (STATE) of the trades, and for each its row in the state, or null."""
    if trades.height < FEW:
        new = at_once(trades)
    else:
        new = all_timeframes(combine(trades)).lazy().with_columns(key=WINDOW)
    placed = (
        new.join(state.lazy().select(_PLACES), on="key", how="left", maintain_order="left")
        .select(*STATE, "place")
        .collect(optimizations=PLAIN)
    )
    return placed, placed.drop_in_place("place")


def _opened(candles: pl.DataFrame, oldest: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Candles (STATE) that open, and those whose windows are too old for that."""
    if candles.is_empty() or candles["window_end"].min() > oldest:  # type: ignore[operator]
        return candles, candles.clear()
    late = pl.col("window_end") <= oldest
    return candles.filter(~late), candles.filter(late)


def watermark(trades: pl.DataFrame, grace: int = GRACE) -> int:
    """The watermark that a batch of trades (TRADES) gives, in microseconds; 0 for
    none.
    """
    latest = trades["timestamp"].to_physical().max()
    return max(0, latest - grace) if isinstance(latest, int) else 0
