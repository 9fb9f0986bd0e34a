"""The candle step: certificates of emitted candles, and their changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.core.candles.certificate import COMPLETE, FORMING, GAPS, PARTIAL
from candlewax.core.candles.combine import SECOND
from candlewax.core.candles.rows import CLOSED, LATE, REPAIRED
from candlewax.core.gaps.gap_state import FIRST_SEEN, MISSING_RANGES, OUTAGES, TIME_RANGES, GapState
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.core.schema import REST, WEBSOCKET
from tests.support.batches import as_columns
from tests.support.candle_step import MINUTE, Clock, make_step
from tests.support.candles import DAY, table
from tests.support.oracle import Fill


def trade(number: int, second: int, via: int = WEBSOCKET, symbol: str = "A/B") -> Batch:
    """A trade by its number and second of the day, received at its time."""
    time = DAY + second * SECOND
    fill = Fill("x", symbol, str(number), number, time, True, Decimal(1), Decimal(1))
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    trades = table([fill]).with_columns(received_at=pl.lit(at), via=pl.lit(via, pl.Int8))
    return Batch("x", {}, trades, 1)


def written_certificate(sent: AnyBatch, minute: int = 0) -> Any:
    """The emitted certificate and cause of a minute of A/B, or None."""
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


def missing_range(before: int, after: int) -> pl.DataFrame:
    """Two numbers missing between two seconds of the day."""
    times = (DAY + before * SECOND, DAY + after * SECOND)
    return pl.DataFrame([("A/B", 2, 3, *times)], MISSING_RANGES, orient="row")


def test_closed_candle_is_emitted_again_when_its_missing_ranges_change(tables: Database) -> None:
    """Its own trades are the same: the trade from REST belongs to the next minute."""
    missing = missing_range(59, 62)
    spans = missing.select(*TIME_RANGES)
    sent, _ = make_step(tables, Clock()).on_batch(
        [
            trade(1, 59),
            replace(trade(4, 62), gap_state=GapState(missing, changed_ranges=spans)),
            replace(trade(5, 65), gap_state=GapState(missing)),
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


def test_outage_recertifies_all_open_candles_it_overlaps(tables: Database) -> None:
    """Closed ones too. None of the candles has left memory, so the writer recertifies nothing."""
    outage = pl.DataFrame([(DAY + 10 * SECOND, DAY + 63 * SECOND + 1500)], OUTAGES, orient="row")
    gap_state = GapState(
        first_seen=pl.DataFrame([("A/B", 9, DAY + 5 * SECOND)], FIRST_SEEN, orient="row")
    )
    sent, _ = make_step(tables, Clock()).on_batch(
        [
            replace(trade(9, 5), gap_state=gap_state),
            replace(trade(10, 62), gap_state=gap_state),
            replace(trade(11, 64), gap_state=replace(gap_state, outages=outage)),
            replace(trade(12, 70), gap_state=gap_state),
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


def store_event(tables: Database, kind: str, second: int) -> None:
    """Store a connection event."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=DAY + second * SECOND)
    tables.client.insert(
        "bronze_frames",
        [["x", "c", second, at, f'{{"candlewax":"{kind}"}}', "control"]],
        column_names=["exchange", "connection", "source_offset", "received_at", "frame", "kind"],
    )


@pytest.mark.parametrize("later", [60, 3600])
def test_candle_is_partial_when_feed_ends_in_it(tables: Database, later: int) -> None:
    """Until the number of a later trade of its symbol shows what was missed."""
    clock = Clock()
    step = make_step(tables, clock)
    step.on_batch([trade(1, 1)])
    store_event(tables, "connected", 0)
    store_event(tables, "disconnected", 5)
    clock.now = DAY + (later + 20) * SECOND
    (closed_by_clock,) = as_columns(step.on_notify()[0])
    other, earlier, next_trade = step.on_batch(
        [trade(1, later + 21, symbol="C/D"), trade(2, 59), trade(3, later + 22)]
    )[0]
    assert written_certificate(closed_by_clock) == (PARTIAL, 0, 0, 0, 0, CLOSED)
    assert written_certificate(other) is None
    if later == 60:
        assert written_certificate(earlier) == (PARTIAL, 0, 0, 0, 1, LATE)
        assert written_certificate(next_trade) == (COMPLETE, 0, 0, 0, 1, LATE)
    else:
        # The candle has left memory: the writer recertifies the stored row.
        assert earlier.recertify is not None
        assert earlier.recertify.inputs.feed_ends["timeframe"].to_list() == [1, 2, 3, 4, 5]
        assert next_trade.recertify is not None
        assert next_trade.recertify.inputs.feed_ends.is_empty()
        assert DAY in next_trade.recertify.spans["before"]


def test_candle_is_complete_when_feed_is_quiet_but_connected(tables: Database) -> None:
    clock = Clock()
    step = make_step(tables, clock)
    step.on_batch([trade(1, 1)])
    store_event(tables, "connected", 0)
    store_event(tables, "disconnected", 5)
    store_event(tables, "connected", 6)
    clock.now = DAY + 80 * SECOND
    (sent,) = as_columns(step.on_notify()[0])
    assert written_certificate(sent) == (COMPLETE, 0, 0, 0, 0, CLOSED)


def test_rest_trade_does_not_keep_the_wall_clock_from_closing(tables: Database) -> None:
    """Only frames of the feed itself count."""
    clock = Clock()
    step = make_step(tables, clock)
    step.on_batch([trade(1, 1)])
    clock.now = DAY + 80 * SECOND
    step.on_batch([trade(2, 2, REST)])
    (sent,) = as_columns(step.on_notify()[0])
    assert written_certificate(sent) == (COMPLETE, 0, 0, 1, 0, CLOSED)
