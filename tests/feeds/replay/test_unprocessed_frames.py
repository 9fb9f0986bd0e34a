"""Stored frames whose trades or dead letters are not all stored."""

from decimal import Decimal
from typing import Any

import pytest
from bytewax.testing import TestingSource

from candlewax.clickhouse.client import Database
from candlewax.core.schema import FRAMES, SOURCE
from candlewax.feeds.replay.unprocessed_frames import RECENT_S, read_unprocessed
from candlewax.pipeline import builder
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, INSTRUMENTS, Frame, binance, play, received

REPEATS = [3]
"""Frames with duplicates only."""

EVENT = '{"candlewax":"subscribed","exchange":"binance"}'


@pytest.fixture
def frames(tables: Database) -> list[Frame]:
    """Stored frames: trades, one of them repeated, an event, and an unreadable frame."""
    fills = [
        Fill("binance", "BTC/USDT", str(n), n, EPOCH_ZERO + n, True, Decimal(1), Decimal(1))
        for n in (1, 2, 3, 2)
    ]
    with_trades = [binance(seq, EPOCH_ZERO + 100 + seq, fill) for seq, fill in enumerate(fills)]
    others = [
        Frame("binance", "b0", seq, EPOCH_ZERO + 100 + seq, text, ())
        for seq, text in ((4, EVENT), (5, "no JSON"))
    ]
    play(received([*with_trades, *others]), tables)
    return [*with_trades, *others]


def unprocessed_numbers(tables: Database, exchange: str = "binance") -> list[int]:
    return read_unprocessed(tables, exchange)["seq"].to_list()


def test_received_frames_are_held_back_until_the_unprocessed_ones_were_emitted(
    tables: Database, frames: list[Frame]
) -> None:
    """The outage while no process ran lies between them."""
    assert frames
    process = ProcessContext(INSTRUMENTS, ("binance",), Counters(), is_replayable=False)
    idle: Any = TestingSource([])
    unprocessed: Any = builder.build_embedded(process, idle, tables).unprocessed
    part = unprocessed.build_part("", "leftover", None)
    may_emit = process.emit_gate.for_partition()
    assert not may_emit()
    assert [batch.frames["seq"].to_list() for batch in part.next_batch()] == [REPEATS]
    assert not may_emit()
    with pytest.raises(StopIteration):
        part.next_batch()
    assert may_emit()


def test_only_frames_of_duplicates_are_unprocessed_when_all_is_stored(
    tables: Database, frames: list[Frame]
) -> None:
    """None of their trades proves that their dead letters are stored."""
    assert len(frames) == tables.query("SELECT count() FROM bronze_frames FINAL").item()
    assert unprocessed_numbers(tables) == REPEATS
    assert unprocessed_numbers(tables, "kraken") == []


def test_frames_without_their_trades_are_unprocessed(tables: Database, frames: list[Frame]) -> None:
    """They are read as they were received."""
    tables.client.command("DELETE FROM silver_trades WHERE sequence IN (1, 3)")
    unprocessed = read_unprocessed(tables, "binance")
    assert unprocessed.schema == {**FRAMES, **SOURCE}
    assert unprocessed.select(*FRAMES).rows() == [
        (frame.recv_us * 1000, frame.connection, frame.seq, frame.text)
        for frame in (frames[0], frames[2], frames[3])
    ]
    assert (
        unprocessed.select(*SOURCE).rows()
        == tables.query(
            "SELECT source, source_partition, source_offset FROM bronze_frames FINAL "
            "WHERE source_offset IN (0, 2, 3) ORDER BY source_offset"
        ).rows()
    )
    assert unprocessed_numbers(tables, "kraken") == []


def test_frames_without_their_dead_letters_are_unprocessed(
    tables: Database, frames: list[Frame]
) -> None:
    assert frames[5].text == "no JSON"
    tables.client.command("TRUNCATE TABLE dead_letters")
    assert unprocessed_numbers(tables) == [*REPEATS, 5]


@pytest.mark.usefixtures("frames")
def test_frames_stored_long_before_the_last_one_are_not_searched(tables: Database) -> None:
    """Processes that ran since then have already read them."""
    tables.client.command("TRUNCATE TABLE silver_trades")
    assert unprocessed_numbers(tables) == [0, 1, 2, *REPEATS]
    shift = f"INTERVAL {RECENT_S + 1} SECOND"
    tables.client.command(
        "INSERT INTO bronze_frames SELECT * REPLACE (source_offset + 10 AS source_offset, "
        f"received_at + {shift} AS received_at, inserted_at + {shift} AS inserted_at) "
        "FROM bronze_frames WHERE bronze_frames.source_offset IN (1, 4)"
    )
    assert unprocessed_numbers(tables) == [11]
