"""The open candles of an exchange, changed trade by trade."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import (
    ENDED,
    CertificateInputs,
    as_time_ranges,
    merge_overlapping,
)
from candlewax.core.candles.combine import MINUTE
from candlewax.core.candles.open_candles import (
    ALLOWED_LATENESS_US,
    OUTAGE_RETENTION_US,
    WATERMARK_DELAY_US,
)
from candlewax.core.gaps.gap_state import NO_GAPS, OUTAGES, TIME_RANGES, GapState
from candlewax.core.rows.candle import LENGTHS_US, Candle, WindowName, place_of
from candlewax.core.rows.evidence import touching
from candlewax.core.rows.records import Trade
from candlewax.core.schema import empty

_NO_RANGES: Final = empty(TIME_RANGES)


@dataclass
class OpenCandleRows:
    """The candles of one exchange that can still change, and its watermark; as `OpenCandles`.

    `candles` by name. `watermark` in microseconds since 1970. `outages` (OUTAGES) of the last two
    days, apart from each other and in order. `ended` (ENDED): closed candles in which the feed
    ended, as long as no later trade of their symbol came.
    """

    candles: dict[WindowName, Candle] = field(default_factory=dict)
    watermark: int = 0
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    ended: pl.DataFrame = field(default_factory=lambda: empty(ENDED))
    _current: dict[str, tuple[int, list[Candle]]] = field(
        default_factory=dict, init=False, repr=False
    )

    def certificate_inputs(self, known: GapState) -> CertificateInputs:
        """Return what the certificates of these candles follow from."""
        return CertificateInputs(known, self.outages, self.ended)

    def windows(self, trade: Trade, too_old: int, late: dict[WindowName, Candle]) -> list[Candle]:
        """Return the six candles of a trade, opened where there are none. What ended by `too_old`
        and is not open is no longer known: parts of such candles are in `late`.
        """
        minute = trade.timestamp // MINUTE * MINUTE
        current = self._current.get(trade.symbol)
        if current and current[0] == minute:
            return current[1]
        found = []
        for timeframe, length in LENGTHS_US:
            start = minute - minute % length
            name = WindowName(trade.symbol, timeframe, start)
            candle = self.candles.get(name)
            if candle is None:
                candles = late if start + length <= too_old else self.candles
                candle = candles.get(name)
                if candle is None:
                    candle = Candle(timeframe, trade.symbol, start, start + length, trade)
                    candles[name] = candle
            found.append(candle)
        if minute + MINUTE > too_old:
            self._current[trade.symbol] = minute, found
        return found

    def drop(self, watermark: int, lateness: int) -> None:
        """Drop the candles that no trade can reach any more."""
        old = [name for name, candle in self.candles.items() if candle.end + lateness <= watermark]
        for name in old:
            del self.candles[name]
        if old:
            self._current.clear()


@dataclass(frozen=True)
class RowUpdate:
    """What a batch of trades changed; as `CandleUpdate`.

    `changed`: the candles that trades changed or that closed. `late`: parts of candles whose state
    was dropped before. `recertified`: the other candles whose certificate may be another now, and
    `ranges` the TIME_RANGES of that. `out_of_order`: trades older than one before them;
    `late_trades`: those whose one-minute candle had closed.
    """

    changed: Sequence[Candle]
    late: Sequence[Candle]
    recertified: Sequence[Candle]
    ranges: pl.DataFrame
    out_of_order: int = 0
    late_trades: int = 0


def batch_watermark(trades: Iterable[Trade]) -> int:
    """Return the watermark that trades give, in microseconds since 1970; 0 for none."""
    latest = max((trade.timestamp for trade in trades), default=0)
    return max(0, latest - WATERMARK_DELAY_US)


def apply_trades(
    book: OpenCandleRows,
    trades: Sequence[Trade],
    watermark: int,
    lateness: int = ALLOWED_LATENESS_US,
    known: GapState = NO_GAPS,
    *,
    is_first_batch: bool = False,
) -> RowUpdate:
    """Put new trades, in the order they came, and what is `known` with them into the open candles,
    and move their watermark on; it never moves back. For the first batch of a process all
    certificates are new.
    """
    before, moved = book.watermark, max(watermark, book.watermark)
    added = _add_trades(book, trades, lateness)
    changed = added.changed
    book.watermark = moved
    crosses_minute = moved // MINUTE > before // MINUTE
    if crosses_minute:
        closing = (candle for candle in book.candles.values() if before < candle.end <= moved)
        changed |= {id(candle): candle for candle in closing}
    ranges = _learn(book, trades, known)
    others: list[Candle] = []
    if is_first_batch or ranges.height:
        others = [candle for candle in book.candles.values() if id(candle) not in changed]
        others = others if is_first_batch else touching(others, ranges)
    if crosses_minute:
        book.drop(moved, lateness)
    return RowUpdate(
        list(changed.values()), list(added.late.values()), others, ranges,
        added.out_of_order, added.late_trades,
    )  # fmt: skip


@dataclass
class _Added:
    """What trades did to candles; the fields as in `RowUpdate`, `changed` by identity."""

    changed: dict[int, Candle] = field(default_factory=dict)
    late: dict[WindowName, Candle] = field(default_factory=dict)
    out_of_order: int = 0
    late_trades: int = 0


def _add_trades(book: OpenCandleRows, trades: Sequence[Trade], lateness: int) -> _Added:
    """Add trades to their candles. Before each trade candles were closed by the latest time before
    it, less the delay of the watermark.
    """
    added = _Added()
    latest = book.watermark + WATERMARK_DELAY_US
    too_old = book.watermark - lateness
    for trade in trades:
        time = trade.timestamp
        closed_by = (latest - WATERMARK_DELAY_US) // MINUTE * MINUTE
        if time < latest:
            added.out_of_order += 1
            added.late_trades += time // MINUTE * MINUTE + MINUTE <= closed_by
        else:
            latest = time
        if trade.condition is not None:
            continue
        place = place_of(trade)
        for candle in book.windows(trade, too_old, added.late):
            candle.add(trade, place, is_late=candle.end <= closed_by)
            added.changed[id(candle)] = candle
    for candle in added.late.values():
        del added.changed[id(candle)]
    return added


def _learn(book: OpenCandleRows, trades: Sequence[Trade], known: GapState) -> pl.DataFrame:
    """Put what is known now into the open candles; return the TIME_RANGES in which that says
    anything new.
    """
    ranges = known.changed
    if known.outages.height:
        outages = merge_overlapping(pl.concat([book.outages, known.outages]))
        book.outages = outages.filter(pl.col("ended") > book.watermark - OUTAGE_RETENTION_US)
        ranges = pl.concat([ranges, as_time_ranges(known.outages)])
    if book.ended.height:
        latest: dict[str, int] = {}
        for trade in trades:
            latest[trade.symbol] = max(trade.timestamp, latest.get(trade.symbol, 0))
        symbols = zip(book.ended["symbol"], book.ended["window_end"], strict=True)
        again = pl.Series(
            [latest.get(symbol, -1) >= end for symbol, end in symbols], dtype=pl.Boolean
        )
        solved = book.ended.filter(again)
        if solved.height:
            book.ended = book.ended.filter(~again)
            windows = solved.select(
                "symbol",
                before=pl.col("window_start").cast(pl.Int64),
                after=pl.col("window_end") - 1,
            )
            ranges = pl.concat([ranges, windows])
    return ranges


def mark_feed_end(book: OpenCandleRows, changed: Iterable[Candle], watermark: int) -> None:
    """Note that the feed had ended before those of the candles closed that did so later than a
    watermark.
    """
    closed = [
        (candle.timeframe, candle.symbol, candle.start, candle.end)
        for candle in changed
        if watermark < candle.end <= book.watermark
    ]
    plain = {**ENDED, "window_start": pl.Int64}
    rows = pl.DataFrame(closed, plain, orient="row").cast(ENDED)  # type: ignore[arg-type]
    book.ended = pl.concat([book.ended, rows])
