"""Bytewax step from trades to candles."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from bytewax.operators import StatefulBatchLogic

from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.batch import Batch
from candlewax.core.candles import combine, open_candles
from candlewax.core.candles.certificate import (
    CANDLE_KEY,
    Recertification,
    as_time_ranges,
    incomplete_time_ranges,
)
from candlewax.core.candles.late_trades import trades_before
from candlewax.core.candles.open_candles import CandleUpdate, OpenCandles, count_late
from candlewax.core.candles.rows import (
    changed_rows,
    watermark_rows,
    window_keys,
    windows_ended_by,
)
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.rows.candle_batch import CandleState
from candlewax.core.rows.columns import batch_columns, from_open_candles, to_open_candles
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.core.schema import TRADES, WEBSOCKET, empty
from candlewax.core.shards import WHOLE
from candlewax.core.snapshots import Snapshot, load_open_candles, save_open_candles
from candlewax.runtime.clocks import monotonic_clock, wall_clock
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

_NO_WINDOWS: Final = empty(CANDLE_KEY)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

IDLE_TIMEOUT_US: Final = 10 * combine.SECOND
"""Microseconds without a frame of an exchange after which elapsed time moves its watermark."""

LIVE_MAX_AGE_US: Final = 60 * combine.SECOND
"""Largest age in microseconds of received trades for a feed to count as live."""


@log_failures
class CandleStep(StatefulBatchLogic[AnyBatch, AnyBatch, Snapshot | None]):
    """Step that adds to each batch the candles its trades change; keyed by shard.

    Without state for a shard it loads open candles from the stored trades, and has stale
    windows of an earlier process recomputed. With `is_live`, elapsed time closes the candles of an
    idle exchange; their amounts never depend on it. Trades received before `since_us`, by another
    process, do not count as live.
    """

    def __init__(
        self,
        state_loader: StateLoader,
        counters: Counters,
        snapshot: Snapshot | None,
        *,
        is_live: bool = False,
        since_us: int = 0,
        now: Callable[[], int] = wall_clock,
        elapsed: Callable[[], int] | None = None,
    ) -> None:
        """`elapsed` is a monotonic clock in microseconds; a `now` given alone serves as both."""
        self._state_loader = state_loader
        self._counters = counters
        self._open_candles: OpenCandles | CandleState | None = (
            load_open_candles(snapshot) if snapshot else None
        )
        self._has_started = False
        self._is_live = is_live
        self._since_us = since_us
        self._now = now
        self._elapsed = elapsed or (monotonic_clock if now is wall_clock else now)
        self._received_elapsed_us = 0
        self._exchange = ""
        self._shard = WHOLE
        self._gap_state: GapState | None = None
        self._received_us: int | None = None

    def on_batch(self, values: list[AnyBatch]) -> tuple[Iterable[AnyBatch], bool]:
        if values[0].shard is not self._shard:
            self._shard = values[0].shard
            self._state_loader = self._state_loader.for_shard(self._shard)
        return [self._add(value) for value in values], StatefulBatchLogic.RETAIN

    def _add(self, batch: AnyBatch) -> AnyBatch:
        if isinstance(batch, RowBatch):
            return self._add_candle_rows(batch)
        return self._add_candles(batch)

    def _add_candle_rows(self, batch: RowBatch) -> AnyBatch:
        """As `_add_candles`; the first batch of a process is one of columns."""
        exchange, trades, gap_state = batch.exchange, batch.decoded.trades, batch.gap_state
        if self._open_candles is None:
            return self._add_candles(batch_columns([batch]))
        if not (trades or gap_state.changed_ranges.height or gap_state.outages.height):
            return batch
        self._mark_started(exchange)
        state = self._row_state()
        if self._is_live:
            self._note_live(exchange, [t.received_at for t in trades if t.via == WEBSOCKET])
        result, update = state.add(batch)
        last_trades = self._counters.last_trades_us
        for trade in trades:
            market = exchange, trade.symbol
            last_trades[market] = max(trade.timestamp, last_trades.get(market, 0))
        self._counters.increment_all(
            {
                ("recomputed", exchange): len(update.stale_parts),
                ("out_of_order", exchange): update.out_of_order,
                ("late", exchange): update.late_trades,
            }
        )
        return result

    def _mark_started(self, exchange: str) -> None:
        if not self._has_started:
            self._has_started = True
            self._state_loader.mark_started(exchange)

    def _row_state(self) -> CandleState:
        """Return the open candles as rows, from now on."""
        if isinstance(self._open_candles, OpenCandles):
            rows = from_open_candles(self._open_candles)
            self._open_candles = CandleState(rows, self._gap_state)
        assert self._open_candles is not None  # noqa: S101 - called with state only
        return self._open_candles

    def _column_state(self) -> OpenCandles:
        """Return the open candles as columns, from now on."""
        if isinstance(self._open_candles, CandleState):
            self._gap_state = self._open_candles.gap_state
            self._open_candles = to_open_candles(self._open_candles.open_candles)
        assert self._open_candles is not None  # noqa: S101 - called with state only
        return self._open_candles

    @property
    def _watermark(self) -> int:
        """Watermark of the exchange; 0 before the first batch."""
        state = self._open_candles
        if isinstance(state, CandleState):
            return state.open_candles.watermark
        return state.watermark if state else 0

    def _add_candles(self, batch: Batch) -> Batch:
        exchange, trades, gap_state = batch.exchange, batch.trades, batch.gap_state
        if not (
            batch.trades_received or gap_state.changed_ranges.height or gap_state.outages.height
        ):
            return batch
        stale, is_first_batch = _NO_WINDOWS, self._open_candles is None
        if self._open_candles is None:
            self._open_candles = self._state_loader.load_open_candles(exchange)
            stale = self._state_loader.find_stale_windows(exchange, self._watermark)
        self._mark_started(exchange)
        if self._is_live:
            received_at = trades["received_at"].filter(trades["via"] == WEBSOCKET)
            self._note_live(exchange, received_at.cast(pl.Int64).to_list())
        before = self._watermark
        watermark = open_candles.batch_watermark(trades)
        update = open_candles.apply_trades(
            self._column_state(),
            trades,
            watermark,
            gap_state=gap_state,
            is_first_batch=is_first_batch,
        )
        self._open_candles = update.open_candles
        tables = self._candle_tables(
            exchange, update, before, gap_state, is_first_batch=is_first_batch
        )
        self._counters.candles[exchange, self._shard.index] = update.open_candles.candles
        late_windows = window_keys(update.stale_parts)
        self._counters.increment(late_windows.height, "recomputed", exchange)
        self._counters.increment(update.out_of_order, "out_of_order", exchange)
        if update.out_of_order:
            self._counters.increment(
                count_late(trades, before, update.open_candles.watermark), "late", exchange
            )
        oldest = before - open_candles.ALLOWED_LATENESS_US
        if stale.height or late_windows.height:
            stale = pl.concat([windows_ended_by(stale, oldest), late_windows])
        time_ranges = _closed_time_ranges(update, gap_state, oldest, is_first_batch=is_first_batch)
        recertification = Recertification(
            update.open_candles.certificate_inputs(gap_state), oldest, time_ranges, is_first_batch
        )
        return replace(
            batch,
            tables={**batch.tables, **tables},
            stale_windows=stale,
            late_trades=trades_before(trades, oldest) if late_windows.height else empty(TRADES),
            watermark=update.open_candles.watermark,
            gap_state=NO_GAPS,
            recertify=recertification
            if stale.height or time_ranges.height or is_first_batch
            else None,
        )

    def _candle_tables(
        self,
        exchange: str,
        update: CandleUpdate,
        before: int,
        gap_state: GapState,
        *,
        is_first_batch: bool = False,
    ) -> dict[str, pl.DataFrame]:
        """Return rows of `ohlcv` and `watermarks`.

        Windows end on whole minutes, so a watermark is stored once a minute. It is also stored with
        the first batch, as an earlier process may have stopped between candles and watermark.
        """
        now = update.open_candles.watermark
        tables = {"ohlcv": changed_rows(exchange, update, gap_state, self._gap_state)}
        self._gap_state = gap_state
        if now // combine.MINUTE > (0 if is_first_batch else before // combine.MINUTE):
            tables["watermarks"] = watermark_rows(exchange, now, self._shard)
        return tables

    def _note_live(self, exchange: str, received_at_us: Sequence[int]) -> None:
        """Note the wall time of the last live batch, or that the feed is not live.

        `received_at_us`: when the batch's trades came over websockets. REST responses do not show
        that the feed is alive.
        """
        self._exchange = exchange
        latest, now = max(received_at_us, default=None), self._now()
        if latest is None or latest < self._since_us <= now:
            return
        received_us = now if now - latest < LIVE_MAX_AGE_US else None
        if received_us != self._received_us:
            self._received_us, self._received_elapsed_us = received_us, self._elapsed()

    def notify_at(self) -> datetime | None:
        if self._received_us is None or self._open_candles is None:
            return None
        minute = combine.TIMEFRAMES["1m"][1]
        end = (max(self._watermark, self._received_us) // minute + 1) * minute
        remaining = max(end, self._received_us) + IDLE_TIMEOUT_US - self._steady_now_us()
        # Bytewax timers use the wall clock.
        return _EPOCH + timedelta(microseconds=self._now() + max(0, remaining))

    def _steady_now_us(self) -> int:
        """Return the wall time of the last live batch plus the time elapsed since.

        So a step of the wall clock neither closes candles early nor holds them open.
        """
        return (self._received_us or 0) + self._elapsed() - self._received_elapsed_us

    def on_notify(self) -> tuple[Iterable[AnyBatch], bool]:
        if (
            self._received_us is None
            or self._open_candles is None
            or self._steady_now_us() - self._received_us < IDLE_TIMEOUT_US
        ):
            return [], StatefulBatchLogic.RETAIN
        exchange, before = self._exchange, self._watermark
        update = open_candles.apply_trades(
            self._column_state(), empty(TRADES), self._steady_now_us() - IDLE_TIMEOUT_US
        )
        since_us = self._received_us - LIVE_MAX_AGE_US
        if update.changed.height and self._state_loader.gap_reader.is_down(exchange, since_us):
            update = replace(update, open_candles=open_candles.mark_feed_end(update, before))
        self._open_candles = update.open_candles
        gap_state = self._gap_state or NO_GAPS
        tables = self._candle_tables(exchange, update, before, gap_state)
        watermark = update.open_candles.watermark
        batch = Batch(exchange, tables, watermark=watermark, shard=self._shard)
        return [batch], StatefulBatchLogic.RETAIN

    def snapshot(self) -> Snapshot | None:
        return save_open_candles(self._column_state()) if self._open_candles else None


def _closed_time_ranges(
    update: CandleUpdate, gap_state: GapState, oldest: int, *, is_first_batch: bool
) -> pl.DataFrame:
    """Return TIME_RANGES that begin before `oldest`, the start of the allowed lateness.

    With the first batch of a process these include all missing ranges and outages.
    """
    time_ranges = update.spans
    if is_first_batch:
        time_ranges = pl.concat(
            [
                time_ranges,
                incomplete_time_ranges(gap_state),
                as_time_ranges(update.open_candles.outages),
            ]
        )
    return time_ranges.filter(pl.col("before") < oldest) if time_ranges.height else time_ranges
