"""Gaps and outages, from frames to their tables, and loaded from there."""

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.schema import FRAMES
from candlewax.core.snapshots import load_deduplicator
from candlewax.core.trades.decode import decode
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.steps.deduplicate import DeduplicateStep
from candlewax.runtime.counters import Counters
from tests.support.batches import as_columns
from tests.support.decoding import INSTRUMENTS
from tests.support.gap_process import BEGIN, Process, event, gaps, outages, trade


def test_gap_is_stored_from_open_to_repaired(tables: Database) -> None:
    """With the connection and the time of the frame that showed it."""
    process = Process(tables)
    process.take(trade(1), trade(2), trade(6, name="b1"))
    assert gaps(tables) == [("BTC/USDT", 3, 5, 3, "open", "b1", 7, 2, 6)]
    process.take(trade(4, 20), trade(9))
    assert gaps(tables) == [
        ("BTC/USDT", 3, 5, 2, "open", "b1", 7, 2, 6),
        ("BTC/USDT", 7, 8, 2, "open", "b0", 10, 6, 9),
    ]
    assert process.counters.gauges()["missing_trades", "binance"] == 4
    process.take(trade(3, 21), trade(5, 22), trade(7, 23), trade(8, 24))
    assert [gap[3:5] for gap in gaps(tables)] == [(0, "repaired")] * 2
    assert process.counters.gauges()["open_gaps", "binance"] == 0
    assert process.counters.counts["gaps", "binance", "found"] == 2
    assert process.counters.counts["gaps", "binance", "repaired"] == 2


def test_gap_that_opens_while_another_closes_is_counted(tables: Database) -> None:
    """Within one batch, even if the next batch closes it."""
    process = Process(tables)
    process.take(trade(1), trade(3))
    process.take(trade(2, 4), trade(6, 6))
    process.take(trade(4, 7), trade(5, 8), trade(9, 9))
    counts = process.counters.counts
    assert counts["gaps", "binance", "found"] == 3
    assert counts["gaps", "binance", "repaired"] == 2
    assert process.counters.gauges()["open_gaps", "binance"] == 1


def test_contradicting_trade_is_not_counted_as_duplicate(tables: Database) -> None:
    """Trades, duplicates and contradictions add up to the trades received."""
    process = Process(tables)
    process.take(trade(1), trade(2))
    second, name, text = trade(2, 3)
    process.take(trade(1, 3), (second, name, text.replace('"p":"1"', '"p":"2"')), trade(3))
    totals = [
        process.counters.total(what, "binance")
        for what in ("trades", "duplicates", "contradictions")
    ]
    assert totals == [3, 1, 1]


def test_process_without_a_snapshot_continues_the_stored_gaps(
    tables: Database,
) -> None:
    """They are not counted as new, and missing ranges keep their times."""
    before = Process(tables).take(trade(1), trade(9), trade(5, 10))
    process = Process(tables)
    state = process.take(trade(4, 11), trade(10, 12))
    assert state.missing_ranges.rows() == [
        ("BTC/USDT", 2, 3, (BEGIN + 1) * 10**6, (BEGIN + 4) * 10**6),
        ("BTC/USDT", 6, 8, (BEGIN + 5) * 10**6, (BEGIN + 9) * 10**6),
    ]
    assert (
        state.first_seen.rows()
        == before.first_seen.rows()
        == [("BTC/USDT", 1, (BEGIN + 1) * 10**6)]
    )
    assert state.changed_ranges.rows() == [
        ("BTC/USDT", (BEGIN + 1) * 10**6, (BEGIN + 4) * 10**6),
        ("BTC/USDT", (BEGIN + 1) * 10**6, (BEGIN + 5) * 10**6),
    ]
    assert [gap[1:5] for gap in gaps(tables)] == [(2, 4, 2, "open"), (6, 8, 3, "open")]


def test_process_with_an_older_snapshot_continues_the_stored_gaps(
    tables: Database,
) -> None:
    """Until they close, though it reads the frames again in other batches."""
    process = Process(tables)
    process.take(trade(1))
    saved = process.step.snapshot()
    process.take(trade(9))
    process.take(trade(5, 11))
    process = Process(tables, saved)
    process.take(trade(9), trade(5, 11))
    process.take(*(trade(n, 20 + n) for n in (2, 3, 4, 6, 7)))
    assert [gap[1:5] for gap in gaps(tables) if gap[4] == "open"] == [(2, 8, 1, "open")]
    process.take(trade(8, 30))
    assert {gap[4] for gap in gaps(tables)} == {"repaired"}


def test_missing_range_without_a_stored_gap_gets_one(tables: Database) -> None:
    """With the connection of the frame that showed it, if that is still stored."""
    Process(tables).take(trade(1), trade(5, name="b1"), trade(9, 9), trade(7, 10, "b2"))
    tables.client.command("TRUNCATE TABLE gaps")
    tables.client.command("DELETE FROM bronze_frames WHERE connection = 'b2'")
    Process(tables).take(trade(10, 12))
    assert gaps(tables) == [
        ("BTC/USDT", 2, 4, 3, "open", "b1", 6, 1, 5),
        ("BTC/USDT", 6, 6, 1, "open", "", 11, 5, 7),
        ("BTC/USDT", 8, 8, 1, "open", "", 11, 7, 9),
    ]


def test_many_missing_ranges_get_their_gaps(tables: Database) -> None:
    """More than a thousand at once."""
    numbers = range(1, 2800, 2)
    Process(tables).take(*(trade(n) for n in numbers))
    expected = gaps(tables)
    assert len(expected) == len(numbers) - 1
    tables.client.command("TRUNCATE TABLE gaps")
    Process(tables).take(trade(2801))
    assert gaps(tables)[:-1] == expected


def test_gap_before_all_stored_trades_is_left_unchanged(tables: Database) -> None:
    """It does not count as open."""
    Process(tables).take(trade(1), trade(5), trade(9))
    tables.client.command("DELETE FROM silver_trades WHERE sequence < 5")
    process = Process(tables)
    state = process.take(trade(10))
    assert state.missing_ranges["first"].to_list() == [6]
    assert process.counters.gauges()["open_gaps", "binance"] == 1
    assert [gap[3] for gap in gaps(tables)] == [3, 3]


def test_outage_is_stored_and_reported_with_the_first_trade_after_it(tables: Database) -> None:
    """Even if it ended long before."""
    process = Process(tables)
    state_before = process.take(event("connected", 1), trade(1), event("disconnected", 5.5))
    assert state_before.outages.is_empty()
    assert process.take(trade(4, 4), event("connected", 8)).outages.is_empty()
    assert outages(tables) == [("binance", 5.5, 8.0)]
    assert process.take(event("disconnected", 9)).outages.is_empty()
    state = process.take(event("connected", 10), trade(10, 11))
    moments = [(BEGIN * 1000 + ms) * 1000 for ms in (5500, 8000, 9000, 10_000)]
    us = [(moments[0], moments[1]), (moments[2], moments[3])]
    assert state.outages.rows() == us
    assert process.take(trade(11)).outages.is_empty()
    assert process.counters.total("outages", "binance") == 2


def test_process_without_a_snapshot_loads_the_live_connections(tables: Database) -> None:
    """A connection of a killed process counts until its last frame; REST frames do not count."""
    Process(tables).take(
        event("connected", 1), event("connected", 1, "b0b"), trade(2), event("disconnected", 4),
        trade(5, name="b0b"), trade(6, 30, "rest/BTCUSDT"),
    )  # fmt: skip
    process = Process(tables)
    assert process.take(event("connected", 40, process="q")).outages.is_empty()
    assert outages(tables) == [("binance", 6.0, 40.0)]
    assert process.step.snapshot() is not None
    # The second process dies before it has reported the outage.
    process = Process(tables)
    state = process.take(event("connected", 40, process="q"), trade(41))
    assert state.outages.rows() == [((BEGIN + 6) * 10**6, (BEGIN + 40) * 10**6)]
    assert Process(tables).take(trade(42)).outages.is_empty()


def test_process_without_a_snapshot_reports_an_outage_after_a_clock_was_ahead(
    tables: Database,
) -> None:
    """A trade received by that clock does not count as later than the outage."""
    Process(tables).take(event("connected", 1), trade(2), trade(3, 7200))
    Process(tables).take(event("disconnected", 4), event("connected", 9))
    state = Process(tables).take(trade(10))
    assert state.outages.rows() == [((BEGIN + 4) * 10**6, (BEGIN + 9) * 10**6)]


def test_process_without_a_snapshot_knows_that_no_connection_was_live(tables: Database) -> None:
    """Since the last one disconnected."""
    Process(tables).take(event("connected", 1), trade(2), event("disconnected", 4))
    Process(tables).take(event("connected", 9, process="q"), trade(10))
    assert outages(tables) == [("binance", 4.0, 9.0)]
    assert StateLoader(tables).gap_reader.read_outages("binance", (BEGIN + 9) * 10**6).height == 1
    assert (
        StateLoader(tables).gap_reader.read_outages("binance", (BEGIN + 9) * 10**6 + 1).is_empty()
    )


def test_frames_without_events_have_no_outages(tables: Database) -> None:
    """Without events, the connections are unknown."""
    Process(tables).take(trade(1), trade(2000))
    Process(tables).take(event("connected", 5000), trade(5001))
    assert outages(tables) == []


def test_snapshot_keeps_gaps_and_connections(tables: Database) -> None:
    """Later batches do not change it."""
    process = Process(tables)
    process.take(event("connected", 0), trade(1), trade(5), event("disconnected", 7))
    saved = process.step.snapshot()
    assert saved is not None
    process.take(event("connected", 9), trade(2, 8.5))
    deduplicator = load_deduplicator(saved)
    assert (deduplicator.gaps.missing, deduplicator.connections.down_since_us) == (
        3,
        (BEGIN + 7) * 10**6,
    )
    resumed = Process(tables, saved)
    resumed.take(event("connected", 9), trade(2, 8.5))
    assert [gap[1:5] for gap in gaps(tables)] == [(2, 4, 2, "open")]
    assert outages(tables) == [("binance", 7.0, 9.0)]


def test_trades_without_numbers_have_no_gaps(tables: Database) -> None:
    """As in Kraken's first protocol."""
    text = '[0,[["1.5","1","%d.000000","b","l",""]],"trade","XBT/USD"]'
    frames = pl.DataFrame(
        [((BEGIN + n) * 10**9, "k0", n, text % (BEGIN + n)) for n in (1, 2, 50)],
        FRAMES,
        orient="row",
    )
    step = DeduplicateStep(StateLoader(tables), Counters(), None)
    decoded = decode(EXCHANGES["kraken"], frames, INSTRUMENTS)
    (batch,) = as_columns(step.on_batch([decoded])[0])
    assert batch.trades.height == 3
    assert "gaps" not in batch.tables
    assert batch.gap_state.missing_ranges.is_empty()
    assert batch.gap_state.first_seen.is_empty()


@pytest.mark.parametrize("kind", ["connected", "disconnected"])
def test_process_starts_with_events_alone(tables: Database, kind: str) -> None:
    """Before any trade was received."""
    process = Process(tables)
    process.take(event(kind, 1))
    saved = process.step.snapshot()
    assert saved is not None
    assert list(load_deduplicator(saved).connections.alive) == (
        ["b0"] if kind == "connected" else []
    )
