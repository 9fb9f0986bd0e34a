"""The book: the candles that can still change, how far the exchange's time has come, and
what certificates follow from besides trades.

Pure functions over frames and state.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import (
    ENDED,
    CertificateInputs,
    as_time_ranges,
    has_later_trade,
    merge_overlapping,
    overlaps,
)
from candlewax.core.candles.combine import (
    MINUTE,
    SECOND,
    SMALL_BATCH_ROWS,
    STATE,
    WINDOW,
    all_timeframes,
    combine,
    merge,
    small_batch_candles,
)
from candlewax.core.candles.late_trades import late_trade_counts, out_of_order
from candlewax.core.candles.small_batch import apply_small_batch
from candlewax.core.gaps.gap_state import NO_GAPS, OUTAGES, TIME_RANGES, GapState
from candlewax.core.schema import PLAIN, empty

WATERMARK_DELAY_US: Final = SECOND
"""How far the watermark stays behind the latest trade, in microseconds."""

ALLOWED_LATENESS_US: Final = 900 * SECOND
"""How long a closed candle is kept to be changed, in microseconds."""

OUTAGE_RETENTION_US: Final = 2 * 86_400 * SECOND
"""How long an outage is kept, in microseconds: longer than any candle of the book."""


@dataclass(frozen=True)
class OpenCandles:
    """The candles of one exchange that can still change, and its watermark.

    `candles`: STATE, one row a window. `watermark`: microseconds since 1970; a
    candle is closed if its window ended by then. `outages`: OUTAGES of the last two
    days, apart from each other and in order. `ended`: ENDED, closed candles in which the
    feed ended, as long as no later trade of their symbol came.
    """

    candles: pl.DataFrame
    watermark: int = 0
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    ended: pl.DataFrame = field(default_factory=lambda: empty(ENDED))

    def certificate_inputs(self, known: GapState) -> CertificateInputs:
        """What the certificates of its candles follow from."""
        return CertificateInputs(known, self.outages, self.ended)


EMPTY: Final = OpenCandles(empty(STATE))


def restore(
    minutes: pl.DataFrame, watermark: int, lateness: int = ALLOWED_LATENESS_US
) -> OpenCandles:
    """The book at a watermark, of the one-minute candles (STATE) of all trades that
    it can still depend on, those of a symbol in the order of time.
    """
    candles = all_timeframes(minutes)
    return OpenCandles(candles.filter(pl.col("window_end") + lateness > watermark), watermark)


@dataclass(frozen=True)
class CandleUpdate:
    """What a batch of trades changed.

    `changed`: STATE, the candles that trades changed or that closed, as they now are,
    each once. `late`: STATE, parts of candles whose state was dropped before these
    trades came; they have to be computed from all their trades. `recertified`: STATE,
    the other candles whose certificate may be another now; `spans`: the TIME_RANGES in which
    certificates may be, also those of candles whose state was dropped; those of all
    symbols have none. `out_of_order`: how many trades are older than one before them.
    """

    book: OpenCandles
    changed: pl.DataFrame
    late: pl.DataFrame
    recertified: pl.DataFrame
    spans: pl.DataFrame
    out_of_order: int = 0


def apply_trades(
    book: OpenCandles,
    trades: pl.DataFrame,
    watermark: int,
    lateness: int = ALLOWED_LATENESS_US,
    known: GapState = NO_GAPS,
    *,
    begins: bool = False,
) -> CandleUpdate:
    """Put new trades (TRADES), in the order they came, and what is `known` with them
    into the book, and move its watermark on.

    `watermark` is the batch's own; the book's never moves back. To one who `begins`, all
    certificates are new.
    """
    state = book.candles
    moved = max(watermark, book.watermark)
    latest = book.watermark + WATERMARK_DELAY_US
    disordered = out_of_order(trades, latest)
    if moved // MINUTE == book.watermark // MINUTE and not begins and _is_calm(book, known):
        folded = apply_small_batch(state, trades, moved)
        if folded:
            kept, changed = folded
            book = replace(book, candles=kept, watermark=moved)
            return CandleUpdate(
                book, changed, state.clear(), state.clear(), empty(TIME_RANGES), disordered
            )
    late = late_trade_counts(trades, latest, WATERMARK_DELAY_US) if disordered else None
    new, place = _placed(trades, state, late)
    found = place.is_not_null()
    places = place.drop_nulls()
    unknown, seen = (new.clear(), new) if found.all() else (new.filter(~found), new.filter(found))
    opened, too_late = _opened(unknown, book.watermark - lateness)
    merged = merge(state[places], seen)
    if opened.height:
        merged = pl.concat([merged, opened])
    stays = pl.Series([True]).new_from_index(0, state.height).scatter(places, False)
    untouched = state.filter(stays)
    # In one piece: a state of thousands of pieces is slower with each batch.
    kept = pl.concat([untouched, merged], rechunk=True)
    changed = merged
    # Windows end on whole minutes: within one none closes, and none is given up.
    if moved // MINUTE > book.watermark // MINUTE:
        end = pl.col("window_end")
        closes = (end > book.watermark) & (end <= moved)
        changed = pl.concat([merged, untouched.filter(closes)])
        untouched = untouched.filter(~closes)
        kept = kept.filter(end + lateness > moved)
    book, spans = _learned(replace(book, candles=kept, watermark=moved), trades, known)
    if not begins:
        untouched = untouched.filter(overlaps(untouched, spans)) if spans.height else state.clear()
    return CandleUpdate(book, changed, too_late, untouched, spans, disordered)


def _is_calm(book: OpenCandles, known: GapState) -> bool:
    """Whether all that is to be learned of a batch are its trades."""
    return not (known.changed_ranges.height or known.outages.height or book.ended.height)


def _learned(
    book: OpenCandles, trades: pl.DataFrame, known: GapState
) -> tuple[OpenCandles, pl.DataFrame]:
    """The book with what is known now, and the TIME_RANGES in which that says anything new."""
    spans = known.changed_ranges
    if known.outages.height:
        outages = merge_overlapping(pl.concat([book.outages, known.outages]))
        recent = outages.filter(pl.col("ended") > book.watermark - OUTAGE_RETENTION_US)
        book = replace(book, outages=recent)
        spans = pl.concat([spans, as_time_ranges(known.outages)])
    if book.ended.height:
        again = has_later_trade(book.ended, trades)
        if again.any():
            solved = book.ended.filter(again)
            book = replace(book, ended=book.ended.filter(~again))
            last = pl.col("window_end") - 1
            windows = solved.select(
                "symbol", before=pl.col("window_start").cast(pl.Int64), after=last
            )
            spans = pl.concat([spans, windows])
    return book, spans


def mark_feed_end(update: CandleUpdate, watermark: int) -> OpenCandles:
    """The book, when the feed had ended before the candles of an update closed, later
    than a watermark.
    """
    book = update.book
    end = pl.col("window_end")
    closed = update.changed.filter((end > watermark) & (end <= book.watermark))
    ended = closed.select(pl.col(name).cast(kind) for name, kind in ENDED.items())
    return replace(book, ended=pl.concat([book.ended, ended]))


_PLACES: Final = (WINDOW.alias("key"), pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))


def _placed(
    trades: pl.DataFrame, state: pl.DataFrame, late: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.Series]:
    """Candles (STATE) of the trades, and for each its row in the state, or null; `late`
    are their revisions by `key`, where there are any.
    """
    if trades.height < SMALL_BATCH_ROWS:
        new = small_batch_candles(trades)
    else:
        new = all_timeframes(combine(trades)).lazy().with_columns(key=WINDOW)
    if late is not None:
        counted = new.drop("revision").join(late.lazy(), "key", "left", maintain_order="left")
        new = counted.with_columns(pl.col("revision").fill_null(0))
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


def watermark(trades: pl.DataFrame, grace: int = WATERMARK_DELAY_US) -> int:
    """The watermark that a batch of trades (TRADES) gives, in microseconds; 0 for
    none.
    """
    latest = trades["timestamp"].cast(pl.Int64).max()
    return max(0, latest - grace) if isinstance(latest, int) else 0
