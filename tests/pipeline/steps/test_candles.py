"""The candle step: candles that the wall clock closes, stale candles and late trades."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.core.candles.combine import SECOND
from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US, EMPTY, WATERMARK_DELAY_US
from candlewax.core.snapshots import save_open_candles
from candlewax.pipeline.steps.candles import IDLE_TIMEOUT_US, LIVE_MAX_AGE_US, CandleStep
from candlewax.runtime.counters import Counters
from tests.support.batches import as_columns
from tests.support.candle_step import MINUTE, Clock, make_step
from tests.support.candles import DAY, table
from tests.support.oracle import Fill


def batch(time_us: int, received_us: int) -> Batch:
    """A batch of one trade."""
    fill = Fill("x", "A/B", "1", 1, time_us, True, Decimal(1), Decimal(1))
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=received_us)
    return Batch("x", {}, table([fill]).with_columns(received_at=pl.lit(at)), 1)


def closed(batches: Any) -> list[tuple[int, bool]]:
    """Timeframe of each emitted candle, and whether it is closed."""
    (sent,) = batches
    return list(sent.tables["ohlcv"].select("timeframe", "closed").iter_rows())


def test_wall_clock_closes_candles_of_a_silent_exchange(tables: Database) -> None:
    """After IDLE_TIMEOUT_US without a frame, windows that ended before are closed."""
    clock = Clock()
    step = make_step(tables, clock)
    sent, _ = step.on_batch([batch(DAY + SECOND, DAY + SECOND)])
    assert not any(done for _, done in closed(sent))
    wake = step.notify_at()
    assert wake is not None
    clock.now = DAY + MINUTE + IDLE_TIMEOUT_US
    assert wake <= datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=clock.now)
    assert closed(step.on_notify()[0]) == [(1, True)]
    clock.now = DAY + 5 * MINUTE + IDLE_TIMEOUT_US
    assert closed(step.on_notify()[0]) == [(2, True)]
    assert step.snapshot() is not None


def test_recent_trade_keeps_the_wall_clock_from_closing(tables: Database) -> None:
    """While trades arrive, the watermark follows their times alone."""
    clock = Clock()
    step = make_step(tables, clock)
    step.on_batch([batch(DAY + SECOND, DAY + SECOND)])
    clock.now = DAY + MINUTE + IDLE_TIMEOUT_US
    step.on_batch([batch(DAY + 2 * SECOND, clock.now - SECOND)])
    assert list(step.on_notify()[0]) == []


@pytest.mark.parametrize("is_live", [True, False])
def test_wall_clock_never_closes_candles_of_old_frames(tables: Database, is_live: bool) -> None:
    """Neither of a recording nor of frames that had to wait."""
    clock = Clock()
    clock.now = DAY + LIVE_MAX_AGE_US + SECOND if is_live else DAY
    step = make_step(tables, clock, is_live=is_live)
    step.on_batch([batch(DAY, DAY)])
    assert step.notify_at() is None
    clock.now += 3600 * SECOND
    assert list(step.on_notify()[0]) == []


@pytest.mark.parametrize("set_back_us", [0, 3600 * SECOND], ids=["steady", "set back"])
def test_only_trades_received_since_the_start_begin_the_wall_clock(
    tables: Database, set_back_us: int
) -> None:
    """After the clock was set back, the time of the start excludes no trade."""
    clock = Clock()
    step = CandleStep(
        StateLoader(tables),
        Counters(),
        save_open_candles(EMPTY),
        is_live=True,
        since_us=clock.now + set_back_us,
        now=clock,
    )
    step.on_batch([batch(DAY - 2 * SECOND, DAY - SECOND)])
    assert (step.notify_at() is None) == (not set_back_us)
    step.on_batch([batch(DAY + SECOND, DAY + SECOND)])
    assert step.notify_at() is not None


def test_late_trade_changes_a_candle_closed_by_the_clock(tables: Database) -> None:
    """The candle stays closed and holds one more trade."""
    clock = Clock()
    step = make_step(tables, clock)
    step.on_batch([batch(DAY + SECOND, DAY + SECOND)])
    clock.now = DAY + MINUTE + IDLE_TIMEOUT_US
    step.on_notify()
    late = batch(DAY + 2 * SECOND, clock.now)
    late = replace(late, trades=late.trades.with_columns(trade_id=pl.lit("2")))
    (sent,) = as_columns(step.on_batch([late])[0])
    minute = sent.tables["ohlcv"].filter(pl.col("timeframe") == 1)
    assert minute.select("trade_count", "closed").rows() == [(2, True)]


@pytest.mark.parametrize(("late", "closes"), [(-1, False), (0, True), (1, True)])
def test_wall_clock_closes_a_window_when_the_idle_timeout_is_reached(
    tables: Database, late: int, closes: bool
) -> None:
    """The window ends at the last time of receipt."""
    clock = Clock()
    clock.now = DAY + MINUTE
    step = make_step(tables, clock)
    step.on_batch([batch(DAY + SECOND, clock.now)])
    clock.now += IDLE_TIMEOUT_US + late
    emitted = [closed([sent]) for sent in step.on_notify()[0]]
    assert emitted == ([[(1, True)]] if closes else [])


@pytest.mark.parametrize(
    ("age", "starts"), [(LIVE_MAX_AGE_US - 1, True), (LIVE_MAX_AGE_US, False), (0, True)]
)
def test_wall_clock_starts_only_with_trades_received_within_the_live_age(
    tables: Database, age: int, starts: bool
) -> None:
    """Older trades had to wait, or are of a recording."""
    step = make_step(tables, Clock())
    step.on_batch([batch(DAY - MINUTE, DAY - age)])
    assert (step.notify_at() is not None) is starts


def store_trades(tables: Database, *fills: Fill) -> None:
    """Store trades of an earlier process without their candles."""
    names = {name: pl.lit("n").cast(pl.Categorical) for name in ("native_symbol", "base", "quote")}
    trades = table(fills).with_columns(
        received_at="timestamp", source=pl.lit("t"), source_partition=pl.lit(0, pl.UInt32), **names
    )
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": trades}))
    writer.flush()


@pytest.mark.parametrize(("late", "stale"), [(-1, False), (0, True), (1, True)])
def test_stale_candle_of_an_earlier_process_is_reported_when_not_in_memory(
    tables: Database, late: int, stale: bool
) -> None:
    """It closed at least the allowed lateness ago. Younger candles are in memory and are
    written.
    """
    first = Fill("x", "A/B", "1", 1, DAY + SECOND, True, Decimal(1), Decimal(1))
    watermark = DAY + MINUTE + ALLOWED_LATENESS_US + late
    last = replace(first, symbol="C/D", time=watermark + WATERMARK_DELAY_US)
    store_trades(tables, first, last)
    step = CandleStep(StateLoader(tables), Counters(), None)
    # A repeat: it brings no trade.
    (sent,) = step.on_batch([Batch("x", {}, trades_received=1)])[0]
    names = sent.stale_windows.filter(pl.col("timeframe") == 1, pl.col("symbol") == "A/B")
    assert names.height == stale
    symbols_in_memory = step._open_candles.candles.filter(pl.col("timeframe") == 1)["symbol"]  # type: ignore[union-attr]  # noqa: SLF001 - its open candles
    assert ("A/B" in symbols_in_memory.to_list()) is not stale


@pytest.mark.parametrize(("time", "count"), [(MINUTE - 1, 1), (MINUTE, 0)])
def test_trade_is_late_when_its_minute_has_closed(tables: Database, time: int, count: int) -> None:
    """The watermark is at the end of the first minute."""
    counters = Counters()
    step = CandleStep(StateLoader(tables), counters, save_open_candles(EMPTY))
    step.on_batch([batch(DAY + MINUTE + WATERMARK_DELAY_US, DAY)])
    step.on_batch([batch(DAY + time, DAY)])
    assert counters.total("late", "x") == count
    assert counters.total("out_of_order", "x") == 1


@pytest.mark.parametrize("size", [1, 7, 60])
def test_counts_of_late_and_out_of_order_trades_match_plain_counts(
    tables: Database, size: int
) -> None:
    """For any cut into batches."""
    rng = Random(7)
    times = [DAY + n * 5 * SECOND - rng.choice([0, 0, 1, 20, 90]) * SECOND for n in range(60)]
    fills = [
        Fill("x", "A/B", str(n), n + 1, time, True, Decimal(1), Decimal(1))
        for n, time in enumerate(times)
    ]
    before = [[*times[:n]] for n in range(60)]
    out_of_order = sum(
        time < max(earlier, default=0) for time, earlier in zip(times, before, strict=True)
    )
    late = sum(
        time // MINUTE * MINUTE + MINUTE <= max(earlier, default=0) - WATERMARK_DELAY_US
        for time, earlier in zip(times, before, strict=True)
    )
    assert out_of_order > late > 0
    counters = Counters()
    step = CandleStep(StateLoader(tables), counters, save_open_candles(EMPTY))
    for begin in range(0, 60, size):
        part = fills[begin : begin + size]
        step.on_batch([Batch("x", {}, table(part), len(part))])
    assert counters.total("out_of_order") == out_of_order
    assert counters.total("late") == late
