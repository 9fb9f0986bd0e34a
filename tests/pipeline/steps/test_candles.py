"""The step from trades to candles, by itself."""

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
from candlewax.core.candles.certificate import COMPLETE, FORMING, GAPS, PARTIAL
from candlewax.core.candles.combine import SECOND
from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US, EMPTY, WATERMARK_DELAY_US
from candlewax.core.candles.rows import CLOSED, LATE, REPAIRED
from candlewax.core.gaps.gap_state import FIRST_SEEN, MISSING_RANGES, OUTAGES, TIME_RANGES, GapState
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.core.schema import REST, WEBSOCKET
from candlewax.core.snapshots import save_open_candles
from candlewax.pipeline.steps.candles import IDLE_TIMEOUT_US, LIVE_MAX_AGE_US, CandleStep
from candlewax.runtime.counters import Counters
from tests.support.batches import as_columns
from tests.support.candles import DAY, table
from tests.support.oracle import Fill

MINUTE = 60 * SECOND


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = DAY

    def __call__(self) -> int:
        return self.now


def batch(time_us: int, received_us: int) -> Batch:
    """One trade."""
    fill = Fill("x", "A/B", "1", 1, time_us, True, Decimal(1), Decimal(1))
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=received_us)
    return Batch("x", {}, table([fill]).with_columns(received_at=pl.lit(at)), 1)


def logic(tables: Database, clock: Clock, *, live: bool = True) -> CandleStep:
    """The step as it begins with empty tables."""
    return CandleStep(
        StateLoader(tables), Counters(), save_open_candles(EMPTY), is_live=live, now=clock
    )


def closed(batches: Any) -> list[tuple[int, bool]]:
    """Each candle that was sent on: its timeframe, and whether it is closed."""
    (sent,) = batches
    return list(sent.tables["ohlcv"].select("timeframe", "closed").iter_rows())


def test_wall_clock_closes_candles_of_a_silent_exchange(tables: Database) -> None:
    """When nothing came for QUIET, those that ended before."""
    clock = Clock()
    step = logic(tables, clock)
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
    """The exchange's own time is enough."""
    clock = Clock()
    step = logic(tables, clock)
    step.on_batch([batch(DAY + SECOND, DAY + SECOND)])
    clock.now = DAY + MINUTE + IDLE_TIMEOUT_US
    step.on_batch([batch(DAY + 2 * SECOND, clock.now - SECOND)])
    assert list(step.on_notify()[0]) == []


@pytest.mark.parametrize("live", [True, False])
def test_wall_clock_never_closes_candles_of_old_frames(tables: Database, live: bool) -> None:
    """Neither of a recording nor of what had to wait."""
    clock = Clock()
    clock.now = DAY + LIVE_MAX_AGE_US + SECOND if live else DAY
    step = logic(tables, clock, live=live)
    step.on_batch([batch(DAY, DAY)])
    assert step.notify_at() is None
    clock.now += 3600 * SECOND
    assert list(step.on_notify()[0]) == []


@pytest.mark.parametrize("back", [0, 3600 * SECOND], ids=["steady", "set back"])
def test_trades_of_another_process_do_not_start_the_wall_clock(tables: Database, back: int) -> None:
    """Whether the exchange is heard now only what comes now tells, also by a clock that was
    set back.
    """
    clock = Clock()
    step = CandleStep(
        StateLoader(tables),
        Counters(),
        save_open_candles(EMPTY),
        is_live=True,
        since_us=clock.now + back,
        now=clock,
    )
    step.on_batch([batch(DAY - 2 * SECOND, DAY - SECOND)])
    assert (step.notify_at() is None) == (not back)
    step.on_batch([batch(DAY + SECOND, DAY + SECOND)])
    assert step.notify_at() is not None


def test_late_trade_changes_a_candle_closed_by_the_clock(tables: Database) -> None:
    """The candle stays closed, and holds one trade more."""
    clock = Clock()
    step = logic(tables, clock)
    step.on_batch([batch(DAY + SECOND, DAY + SECOND)])
    clock.now = DAY + MINUTE + IDLE_TIMEOUT_US
    step.on_notify()
    late = batch(DAY + 2 * SECOND, clock.now)
    late = replace(late, trades=late.trades.with_columns(trade_id=pl.lit("2")))
    (sent,) = as_columns(step.on_batch([late])[0])
    minute = sent.tables["ohlcv"].filter(pl.col("timeframe") == 1)
    assert minute.select("trade_count", "closed").rows() == [(2, True)]


@pytest.mark.parametrize(("late", "closes"), [(-1, False), (0, True), (1, True)])
def test_wall_clock_closes_a_window_once_the_exchange_was_silent_so_long(
    tables: Database, late: int, closes: bool
) -> None:
    """Here it ended in the moment in which the exchange was heard last."""
    clock = Clock()
    clock.now = DAY + MINUTE
    step = logic(tables, clock)
    step.on_batch([batch(DAY + SECOND, clock.now)])
    clock.now += IDLE_TIMEOUT_US + late
    found = [closed([sent]) for sent in step.on_notify()[0]]
    assert found == ([[(1, True)]] if closes else [])


@pytest.mark.parametrize(
    ("age", "live"), [(LIVE_MAX_AGE_US - 1, True), (LIVE_MAX_AGE_US, False), (0, True)]
)
def test_wall_clock_knows_of_an_exchange_that_was_heard_within_a_minute(
    tables: Database, age: int, live: bool
) -> None:
    """What was received earlier had to wait, or is a recording's."""
    step = logic(tables, Clock())
    step.on_batch([batch(DAY - MINUTE, DAY - age)])
    assert (step.notify_at() is not None) is live


def stored(tables: Database, *fills: Fill) -> None:
    """Trades that a process before has stored, without their candles."""
    names = {name: pl.lit("n").cast(pl.Categorical) for name in ("native_symbol", "base", "quote")}
    trades = table(fills).with_columns(
        received_at="timestamp", source=pl.lit("t"), source_partition=pl.lit(0, pl.UInt32), **names
    )
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": trades}))
    writer.flush()


@pytest.mark.parametrize(("late", "stale"), [(-1, False), (0, True), (1, True)])
def test_candle_that_a_process_left_behind_is_mended_where_it_is_not_in_memory(
    tables: Database, late: int, stale: bool
) -> None:
    """It closed exactly the allowed lateness ago, or a moment more; before that it is in memory,
    and the row of each candle there is written.
    """
    first = Fill("x", "A/B", "1", 1, DAY + SECOND, True, Decimal(1), Decimal(1))
    watermark = DAY + MINUTE + ALLOWED_LATENESS_US + late
    last = replace(first, symbol="C/D", time=watermark + WATERMARK_DELAY_US)
    stored(tables, first, last)
    step = CandleStep(StateLoader(tables), Counters(), None)
    # A repeat: it brings no trade.
    (sent,) = step.on_batch([Batch("x", {}, trades_received=1)])[0]
    names = sent.stale_windows.filter(pl.col("timeframe") == 1, pl.col("symbol") == "A/B")
    assert names.height == stale
    kept = step._open_candles.candles.filter(pl.col("timeframe") == 1)["symbol"]  # type: ignore[union-attr]  # noqa: SLF001 - its memory
    assert ("A/B" in kept.to_list()) is not stale


@pytest.mark.parametrize(("time", "count"), [(MINUTE - 1, 1), (MINUTE, 0)])
def test_trade_counts_as_late_once_its_minute_has_closed(
    tables: Database, time: int, count: int
) -> None:
    """The watermark stands where the first minute ends."""
    tally = Counters()
    step = CandleStep(StateLoader(tables), tally, save_open_candles(EMPTY))
    step.on_batch([batch(DAY + MINUTE + WATERMARK_DELAY_US, DAY)])
    step.on_batch([batch(DAY + time, DAY)])
    assert tally.total("late", "x") == count
    assert tally.total("out_of_order", "x") == 1


def trade(number: int, second: int, via: int = WEBSOCKET, symbol: str = "A/B") -> Batch:
    """A trade by its number and second of the day, received at once."""
    time = DAY + second * SECOND
    fill = Fill("x", symbol, str(number), number, time, True, Decimal(1), Decimal(1))
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    trades = table([fill]).with_columns(received_at=pl.lit(at), via=pl.lit(via, pl.Int8))
    return Batch("x", {}, trades, 1)


def written_certificate(sent: AnyBatch, minute: int = 0) -> Any:
    """What was sent of the certificate of a minute of A/B, and why it was sent."""
    (sent,) = as_columns([sent])
    rows = (
        sent.tables["ohlcv"]
        .filter(
            pl.col("timeframe") == 1,
            pl.col("symbol").cast(pl.String) == "A/B",
            pl.col("window_start").cast(pl.Int64) == DAY + minute * MINUTE,
        )
        .select("status", "missing", "feed_down_ms", "repaired", "revision", "cause")
    )
    return rows.row(0) if rows.height else None


def hole(before: int, after: int) -> pl.DataFrame:
    """Two numbers missing between two seconds of the day."""
    times = (DAY + before * SECOND, DAY + after * SECOND)
    return pl.DataFrame([("A/B", 2, 3, *times)], MISSING_RANGES, orient="row")


def test_closed_candle_is_sent_again_when_its_missing_ranges_change(tables: Database) -> None:
    """Though its own trades are the same; what came was asked for, and is its neighbour's."""
    found = hole(59, 62)
    spans = found.select(*TIME_RANGES)
    sent, _ = logic(tables, Clock()).on_batch(
        [
            trade(1, 59),
            replace(trade(4, 62), gap_state=GapState(found, changed_ranges=spans)),
            replace(trade(5, 65), gap_state=GapState(found)),
            replace(trade(2, 63, REST), gap_state=GapState(changed_ranges=spans)),
        ]
    )
    assert [written_certificate(batch) for batch in sent] == [
        (FORMING, 0, 0, 0, 0, CLOSED),
        (GAPS, 2, 0, 0, 0, CLOSED),
        None,
        (COMPLETE, 0, 0, 0, 0, REPAIRED),
    ]
    assert written_certificate(list(sent)[-1], 1) == (FORMING, 0, 0, 1, 0, CLOSED)


def test_outage_recertifies_all_candles_it_touches(tables: Database) -> None:
    """Also of one that is closed; what lies further back is left to who stores."""
    outage = pl.DataFrame([(DAY + 10 * SECOND, DAY + 63 * SECOND + 1500)], OUTAGES, orient="row")
    begun = GapState(
        first_seen=pl.DataFrame([("A/B", 9, DAY + 5 * SECOND)], FIRST_SEEN, orient="row")
    )
    sent, _ = logic(tables, Clock()).on_batch(
        [
            replace(trade(9, 5), gap_state=begun),
            replace(trade(10, 62), gap_state=begun),
            replace(trade(11, 64), gap_state=replace(begun, outages=outage)),
            replace(trade(12, 70), gap_state=begun),
        ]
    )
    assert [written_certificate(batch) for batch in sent] == [
        (FORMING, 0, 0, 0, 0, CLOSED),
        (PARTIAL, 0, 0, 0, 0, CLOSED),
        (PARTIAL, 0, 50_000, 0, 0, LATE),
        None,
    ]
    assert written_certificate(list(sent)[-1], 1) == (FORMING, 0, 3001, 0, 0, CLOSED)
    assert [batch.recertify for batch in sent] == [None] * 4


def event(tables: Database, what: str, second: int) -> None:
    """What a feed says of its connection."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=DAY + second * SECOND)
    tables.client.insert(
        "bronze_frames",
        [["x", "c", second, at, f'{{"candlewax":"{what}"}}', "control"]],
        column_names=["exchange", "connection", "source_offset", "received_at", "frame", "kind"],
    )


@pytest.mark.parametrize("later", [60, 3600])
def test_candle_in_which_the_feed_ended_is_partial(tables: Database, later: int) -> None:
    """Until a later trade of its symbol tells by its number what was missed."""
    clock = Clock()
    step = logic(tables, clock)
    step.on_batch([trade(1, 1)])
    event(tables, "connected", 0)
    event(tables, "disconnected", 5)
    clock.now = DAY + (later + 20) * SECOND
    (ended,) = as_columns(step.on_notify()[0])
    other, early, again = step.on_batch(
        [trade(1, later + 21, symbol="C/D"), trade(2, 59), trade(3, later + 22)]
    )[0]
    assert written_certificate(ended) == (PARTIAL, 0, 0, 0, 0, CLOSED)
    assert written_certificate(other) is None
    if later == 60:
        assert written_certificate(early) == (PARTIAL, 0, 0, 0, 1, LATE)
        assert written_certificate(again) == (COMPLETE, 0, 0, 0, 1, LATE)
    else:
        # The candle is no longer at hand: who stores computes it anew.
        assert early.recertify is not None
        assert early.recertify.inputs.feed_ends["timeframe"].to_list() == [1, 2, 3, 4, 5]
        assert again.recertify is not None
        assert again.recertify.inputs.feed_ends.is_empty()
        assert DAY in again.recertify.spans["before"]


def test_quiet_feed_has_not_ended(tables: Database) -> None:
    """As long as a connection is alive: nothing was traded."""
    clock = Clock()
    step = logic(tables, clock)
    step.on_batch([trade(1, 1)])
    event(tables, "connected", 0)
    event(tables, "disconnected", 5)
    event(tables, "connected", 6)
    clock.now = DAY + 80 * SECOND
    (sent,) = as_columns(step.on_notify()[0])
    assert written_certificate(sent) == (COMPLETE, 0, 0, 0, 0, CLOSED)


def test_rest_trades_do_not_keep_the_wall_clock_from_closing(tables: Database) -> None:
    """The exchange is as silent as before."""
    clock = Clock()
    step = logic(tables, clock)
    step.on_batch([trade(1, 1)])
    clock.now = DAY + 80 * SECOND
    step.on_batch([trade(2, 2, REST)])
    (sent,) = as_columns(step.on_notify()[0])
    assert written_certificate(sent) == (COMPLETE, 0, 0, 1, 0, CLOSED)


@pytest.mark.parametrize("size", [1, 7, 60])
def test_late_trades_are_counted(tables: Database, size: int) -> None:
    """Those older than one before them, and of these those whose minute had closed, however
    the batches are cut.
    """
    chance = Random(7)
    times = [DAY + n * 5 * SECOND - chance.choice([0, 0, 1, 20, 90]) * SECOND for n in range(60)]
    fills = [
        Fill("x", "A/B", str(n), n + 1, time, True, Decimal(1), Decimal(1))
        for n, time in enumerate(times)
    ]
    before = [[*times[:n]] for n in range(60)]
    disordered = sum(time < max(some, default=0) for time, some in zip(times, before, strict=True))
    late = sum(
        time // MINUTE * MINUTE + MINUTE <= max(some, default=0) - WATERMARK_DELAY_US
        for time, some in zip(times, before, strict=True)
    )
    assert disordered > late > 0
    tally = Counters()
    step = CandleStep(StateLoader(tables), tally, save_open_candles(EMPTY))
    for begin in range(0, 60, size):
        some = fills[begin : begin + size]
        step.on_batch([Batch("x", {}, table(some), len(some))])
    assert tally.total("out_of_order") == disordered
    assert tally.total("late") == late
