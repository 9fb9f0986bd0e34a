"""Open candles of an exchange, changed trade by trade."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import (
    FEED_ENDS,
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
    """Open candles of one exchange and its watermark, as in `OpenCandles`.

    `candles` by name. `watermark` in microseconds since 1970. `outages` (OUTAGES) of the last two
    days, apart from each other and in order. `feed_ends`: FEED_ENDS, until a later
    trade of the symbol comes.
    """

    candles: dict[WindowName, Candle] = field(default_factory=dict)
    watermark: int = 0
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    feed_ends: pl.DataFrame = field(default_factory=lambda: empty(FEED_ENDS))
    _current: dict[str, tuple[int, list[Candle]]] = field(
        default_factory=dict, init=False, repr=False
    )

    def certificate_inputs(self, gap_state: GapState) -> CertificateInputs:
        """Return what the certificates of these candles follow from."""
        return CertificateInputs(gap_state, self.outages, self.feed_ends)

    def windows(
        self, trade: Trade, oldest_us: int, stale_parts: dict[WindowName, Candle]
    ) -> list[Candle]:
        """Return the six candles of a trade, opened where there are none. Of a candle that ended by
        `oldest_us` and is no longer in memory, a part is opened in `stale_parts`.
        """
        minute = trade.timestamp // MINUTE * MINUTE
        current = self._current.get(trade.symbol)
        if current and current[0] == minute:
            return current[1]
        windows = []
        for timeframe, length in LENGTHS_US:
            start = minute - minute % length
            name = WindowName(trade.symbol, timeframe, start)
            candle = self.candles.get(name)
            if candle is None:
                candles = stale_parts if start + length <= oldest_us else self.candles
                candle = candles.get(name)
                if candle is None:
                    candle = Candle(timeframe, trade.symbol, start, start + length, trade)
                    candles[name] = candle
            windows.append(candle)
        if minute + MINUTE > oldest_us:
            self._current[trade.symbol] = minute, windows
        return windows

    def drop(self, watermark: int, allowed_lateness_us: int) -> None:
        """Drop the candles that no trade can reach any more."""
        old = [
            name
            for name, candle in self.candles.items()
            if candle.end + allowed_lateness_us <= watermark
        ]
        for name in old:
            del self.candles[name]
        if old:
            self._current.clear()


@dataclass(frozen=True)
class RowUpdate:
    """Changes of the open candles by a batch of trades, as in `CandleUpdate`.

    `changed`: candles that trades changed or that closed. `stale_parts`: the batch's parts of
    candles no longer in memory. `to_recertify`: other candles whose certificate may have changed.
    `spans`: TIME_RANGES in which certificates may have changed. `out_of_order`: trades older than
    one before them. `late_trades`: trades whose one-minute candle had closed.
    """

    changed: Sequence[Candle]
    stale_parts: Sequence[Candle]
    to_recertify: Sequence[Candle]
    spans: pl.DataFrame
    out_of_order: int = 0
    late_trades: int = 0


def batch_watermark(trades: Iterable[Trade]) -> int:
    """Return the watermark that trades give, in microseconds since 1970; 0 for none."""
    latest = max((trade.timestamp for trade in trades), default=0)
    return max(0, latest - WATERMARK_DELAY_US)


def apply_trades(
    open_candles: OpenCandleRows,
    trades: Sequence[Trade],
    watermark: int,
    allowed_lateness_us: int = ALLOWED_LATENESS_US,
    gap_state: GapState = NO_GAPS,
    *,
    is_first_batch: bool = False,
) -> RowUpdate:
    """Apply new trades, in the order received, and the gap state after them.

    `watermark` is that of the batch; the exchange's watermark never moves back. In the first batch
    of a process all certificates are new.
    """
    before, new_watermark = open_candles.watermark, max(watermark, open_candles.watermark)
    added = _add_trades(open_candles, trades, allowed_lateness_us)
    changed = added.changed
    open_candles.watermark = new_watermark
    crosses_minute = new_watermark // MINUTE > before // MINUTE
    if crosses_minute:
        closing = (
            candle
            for candle in open_candles.candles.values()
            if before < candle.end <= new_watermark
        )
        changed |= {id(candle): candle for candle in closing}
    spans = _apply_gap_state(open_candles, trades, gap_state)
    others: list[Candle] = []
    if is_first_batch or spans.height:
        others = [candle for candle in open_candles.candles.values() if id(candle) not in changed]
        others = others if is_first_batch else touching(others, spans)
    if crosses_minute:
        open_candles.drop(new_watermark, allowed_lateness_us)
    return RowUpdate(
        list(changed.values()), list(added.stale_parts.values()), others, spans,
        added.out_of_order, added.late_trades,
    )  # fmt: skip


@dataclass
class _Added:
    """Changes by the trades alone, as in `RowUpdate`; `changed` by identity."""

    changed: dict[int, Candle] = field(default_factory=dict)
    stale_parts: dict[WindowName, Candle] = field(default_factory=dict)
    out_of_order: int = 0
    late_trades: int = 0


def _add_trades(
    open_candles: OpenCandleRows, trades: Sequence[Trade], allowed_lateness_us: int
) -> _Added:
    """Add trades to their candles. Before each trade candles were closed by the latest time before
    it, less the delay of the watermark.
    """
    added = _Added()
    latest = open_candles.watermark + WATERMARK_DELAY_US
    oldest_us = open_candles.watermark - allowed_lateness_us
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
        for candle in open_candles.windows(trade, oldest_us, added.stale_parts):
            candle.add(trade, place, is_late=candle.end <= closed_by)
            added.changed[id(candle)] = candle
    for candle in added.stale_parts.values():
        del added.changed[id(candle)]
    return added


def _apply_gap_state(
    open_candles: OpenCandleRows, trades: Sequence[Trade], gap_state: GapState
) -> pl.DataFrame:
    """Apply the gap state; return the TIME_RANGES that it changes."""
    spans = gap_state.changed_ranges
    if gap_state.outages.height:
        outages = merge_overlapping(pl.concat([open_candles.outages, gap_state.outages]))
        open_candles.outages = outages.filter(
            pl.col("ended") > open_candles.watermark - OUTAGE_RETENTION_US
        )
        spans = pl.concat([spans, as_time_ranges(gap_state.outages)])
    if open_candles.feed_ends.height:
        latest: dict[str, int] = {}
        for trade in trades:
            latest[trade.symbol] = max(trade.timestamp, latest.get(trade.symbol, 0))
        symbols = zip(
            open_candles.feed_ends["symbol"], open_candles.feed_ends["window_end"], strict=True
        )
        again = pl.Series(
            [latest.get(symbol, -1) >= end for symbol, end in symbols], dtype=pl.Boolean
        )
        solved = open_candles.feed_ends.filter(again)
        if solved.height:
            open_candles.feed_ends = open_candles.feed_ends.filter(~again)
            windows = solved.select(
                "symbol",
                before=pl.col("window_start").cast(pl.Int64),
                after=pl.col("window_end") - 1,
            )
            spans = pl.concat([spans, windows])
    return spans


def mark_feed_end(open_candles: OpenCandleRows, changed: Iterable[Candle], watermark: int) -> None:
    """Note a feed end in each changed candle that closed after `watermark`."""
    closed = [
        (candle.timeframe, candle.symbol, candle.start, candle.end)
        for candle in changed
        if watermark < candle.end <= open_candles.watermark
    ]
    plain = {**FEED_ENDS, "window_start": pl.Int64}
    rows = pl.DataFrame(closed, plain, orient="row").cast(FEED_ENDS)  # type: ignore[arg-type]
    open_candles.feed_ends = pl.concat([open_candles.feed_ends, rows])
