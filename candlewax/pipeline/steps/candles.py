"""The step from trades to candles, as Bytewax runs it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from bytewax.operators import StatefulBatchLogic

from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles import combine, open_candles
from candlewax.core.candles.certificate import (
    Recertification,
    as_time_ranges,
    incomplete_time_ranges,
)
from candlewax.core.candles.open_candles import CandleUpdate
from candlewax.core.candles.rows import changed_rows, watermark_rows
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.schema import TRADES, WEBSOCKET, empty
from candlewax.core.snapshots import Snapshot, load_open_candles, save_open_candles
from candlewax.runtime.clocks import monotonic_clock, wall_clock
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

_NO_WINDOWS: Final = empty(WINDOW_KEY)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

IDLE_TIMEOUT_US: Final = 10 * combine.SECOND
"""How long all of an exchange is silent, in microseconds, before the wall clock closes
its candles."""

LIVE_MAX_AGE_US: Final = 60 * combine.SECOND
"""A feed is live if its trades were received so little time ago, in microseconds."""


@log_failures
class CandleStep(StatefulBatchLogic[Batch, Batch, Snapshot | None]):
    """Adds to each batch the candles its trades change; keyed by exchange.

    A process that has no state for an exchange begins with the candles that the
    stored trades make, and mends those that a process before it left behind. Where
    frames are `live`, the wall clock closes the candles of an exchange that has
    fallen silent; what a candle holds never depends on it. What was received before
    `since`, by another process, does not tell that the exchange is heard now.
    """

    def __init__(
        self,
        history: StateLoader,
        tally: Counters,
        resumed: Snapshot | None,
        *,
        live: bool = False,
        since: int = 0,
        now: Callable[[], int] = wall_clock,
        elapsed: Callable[[], int] | None = None,
    ) -> None:
        """`elapsed` is a clock in microseconds that cannot be set, in tests `now` itself."""
        self._history = history
        self._tally = tally
        self._book = load_open_candles(resumed) if resumed else None
        self._live = live
        self._since = since
        self._now = now
        self._elapsed = elapsed or (monotonic_clock if now is wall_clock else now)
        self._came_at = 0
        self._exchange = ""
        self._known: GapState | None = None
        self._came: int | None = None

    def on_batch(self, values: list[Batch]) -> tuple[Iterable[Batch], bool]:
        return [self._add(value) for value in values], StatefulBatchLogic.RETAIN

    def _add(self, batch: Batch) -> Batch:
        exchange, trades, known = batch.exchange, batch.trades, batch.gap_state
        if not (batch.trades_received or known.changed_ranges.height or known.outages.height):
            return batch
        stale, begins = _NO_WINDOWS, self._book is None
        if self._book is None:
            self._book = self._history.load_open_candles(exchange)
            stale = self._history.find_stale_windows(exchange, self._book.watermark)
        self._history.mark_started(exchange)
        if self._live:
            came = self._arrival(exchange, trades)
            if came != self._came:
                self._came, self._came_at = came, self._elapsed()
        before = self._book.watermark
        mark = open_candles.batch_watermark(trades)
        update = open_candles.apply_trades(
            self._book, trades, mark, gap_state=known, is_first_batch=begins
        )
        self._book = update.open_candles
        tables = self._gold(exchange, update, before, known, begins=begins)
        self._tally.candles[exchange] = update.open_candles.candles
        late = _names(update.stale_parts)
        self._tally.increment(late.height, "recomputed", exchange)
        self._tally.increment(update.out_of_order, "out_of_order", exchange)
        if update.out_of_order:
            self._tally.increment(
                _late(trades, before, update.open_candles.watermark), "late", exchange
            )
        oldest = before - open_candles.ALLOWED_LATENESS_US
        if stale.height or late.height:
            stale = pl.concat([_ended(stale, oldest), late])
        spans = _reaching(update, known, oldest, begins=begins)
        doubt = Recertification(
            update.open_candles.certificate_inputs(known), oldest, spans, begins
        )
        return replace(
            batch,
            tables={**batch.tables, **tables},
            stale_windows=stale,
            late_trades=_older(trades, oldest) if late.height else empty(TRADES),
            watermark=update.open_candles.watermark,
            gap_state=NO_GAPS,
            recertify=doubt if stale.height or spans.height or begins else None,
        )

    def _gold(
        self,
        exchange: str,
        update: CandleUpdate,
        before: int,
        known: GapState,
        *,
        begins: bool = False,
    ) -> dict[str, pl.DataFrame]:
        """Rows of the tables of candles. Every window ends on a whole minute, so the
        watermark tells something new once a minute; and to one who `begins`, as whoever
        stored the last candles may have stopped before it stored theirs.
        """
        now = update.open_candles.watermark
        tables = {"ohlcv": changed_rows(exchange, update, known, self._known)}
        self._known = known
        minute = combine.TIMEFRAMES["1m"][1]
        if now // minute > (0 if begins else before // minute):
            tables["watermarks"] = watermark_rows(exchange, now)
        return tables

    def _arrival(self, exchange: str, trades: pl.DataFrame) -> int | None:
        """When the exchange was last heard of, if it is heard of as it speaks."""
        self._exchange = exchange
        # What was asked for the exchange does not say by itself.
        spoken = trades["received_at"].filter(trades["via"] == WEBSOCKET)
        latest: Any = spoken.cast(pl.Int64).max()
        now = self._now()
        if latest is None or latest < self._since <= now:
            return self._came
        return now if now - latest < LIVE_MAX_AGE_US else None

    def notify_at(self) -> datetime | None:
        if self._came is None or self._book is None:
            return None
        minute = combine.TIMEFRAMES["1m"][1]
        end = (max(self._book.watermark, self._came) // minute + 1) * minute
        left = max(end, self._came) + IDLE_TIMEOUT_US - self._steady()
        # The engine's timers go by the wall clock.
        return _EPOCH + timedelta(microseconds=self._now() + max(0, left))

    def _steady(self) -> int:
        """Return the wall clock as it was when the exchange was last heard of, and what has
        passed since: a step of the clock neither closes candles early nor holds them open.
        """
        return (self._came or 0) + self._elapsed() - self._came_at

    def on_notify(self) -> tuple[Iterable[Batch], bool]:
        if (
            self._came is None
            or self._book is None
            or self._steady() - self._came < IDLE_TIMEOUT_US
        ):
            return [], StatefulBatchLogic.RETAIN
        exchange, before = self._exchange, self._book.watermark
        update = open_candles.apply_trades(
            self._book, empty(TRADES), self._steady() - IDLE_TIMEOUT_US
        )
        since = self._came - LIVE_MAX_AGE_US
        if update.changed.height and self._history.gap_reader.is_down(exchange, since):
            update = replace(update, open_candles=open_candles.mark_feed_end(update, before))
        self._book = update.open_candles
        known = self._known or NO_GAPS
        tables = self._gold(exchange, update, before, known)
        batch = Batch(exchange, tables, watermark=update.open_candles.watermark)
        return [batch], StatefulBatchLogic.RETAIN

    def snapshot(self) -> Snapshot | None:
        return save_open_candles(self._book) if self._book else None


def _names(candles: pl.DataFrame) -> pl.DataFrame:
    """WINDOW_KEY of candles (STATE)."""
    if candles.is_empty():
        return _NO_WINDOWS
    return candles.select(*WINDOW_KEY).cast(WINDOW_KEY)  # type: ignore[arg-type]  # names to types


def _older(trades: pl.DataFrame, time_us: int) -> pl.DataFrame:
    """The trades (TRADES) before a time."""
    return trades.filter(pl.col("timestamp").cast(pl.Int64) < time_us).select(*TRADES)


_LENGTH: Final = pl.col("timeframe").replace_strict(
    dict(combine.TIMEFRAMES.values()), return_dtype=pl.Int64
)


def _ended(windows: pl.DataFrame, time_us: int) -> pl.DataFrame:
    """Those of WINDOW_KEY that ended by a time."""
    return windows.filter(pl.col("window_start").cast(pl.Int64) + _LENGTH <= time_us)


def _late(trades: pl.DataFrame, before: int, now: int) -> int:
    """How many trades came when their one-minute candle had closed, of a batch that moved
    the watermark from `before` to `now`.
    """
    minute = combine.TIMEFRAMES["1m"][1]
    oldest: Any = trades["timestamp"].min()
    # Most often none can have: the others are not looked at.
    if ((oldest - _EPOCH) // timedelta(microseconds=1) // minute + 1) * minute > now:
        return 0
    time = pl.col("timestamp").cast(pl.Int64)
    closed_by = (
        time.cum_max().clip(lower_bound=before + open_candles.WATERMARK_DELAY_US)
        - open_candles.WATERMARK_DELAY_US
    )
    return int(trades.select(((time // minute + 1) * minute <= closed_by).sum()).item())


def _reaching(update: CandleUpdate, known: GapState, oldest: int, *, begins: bool) -> pl.DataFrame:
    """The TIME_RANGES that reach candles whose windows ended by a time; for a process that
    begins, all in which something is missing.
    """
    spans = update.spans
    if begins:
        spans = pl.concat(
            [spans, incomplete_time_ranges(known), as_time_ranges(update.open_candles.outages)]
        )
    return spans.filter(pl.col("before") < oldest) if spans.height else spans
