"""Stored frames of which not all is stored that they hold."""

from decimal import Decimal

import pytest

from candlewax.clickhouse.client import Database
from candlewax.core.schema import FRAMES, SOURCE
from candlewax.feeds.replay.unprocessed_frames import RECENT_S, read_unprocessed
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, Frame, binance, play, received

REPEATS = [3]
"""Frames that hold nothing new."""

EVENT = '{"candlewax":"subscribed","exchange":"binance"}'


@pytest.fixture
def frames(tables: Database) -> list[Frame]:
    """Stored: trades, one of them again, an event, and what cannot be read."""
    fills = [
        Fill("binance", "BTC/USDT", str(n), n, EPOCH_ZERO + n, True, Decimal(1), Decimal(1))
        for n in (1, 2, 3, 2)
    ]
    told = [binance(seq, EPOCH_ZERO + 100 + seq, fill) for seq, fill in enumerate(fills)]
    more = [
        Frame("binance", "b0", seq, EPOCH_ZERO + 100 + seq, text, ())
        for seq, text in ((4, EVENT), (5, "no JSON"))
    ]
    play(received([*told, *more]), tables)
    return [*told, *more]


def numbers(tables: Database, exchange: str = "binance") -> list[int]:
    return read_unprocessed(tables, exchange)["seq"].to_list()


def test_nothing_is_left_where_all_was_stored(tables: Database, frames: list[Frame]) -> None:
    """But frames that held nothing new: none of their trades tells that dead letters are stored."""
    assert len(frames) == tables.query("SELECT count() FROM bronze_frames FINAL").item()
    assert numbers(tables) == REPEATS
    assert numbers(tables, "kraken") == []


def test_frames_without_their_trades_are_left(tables: Database, frames: list[Frame]) -> None:
    """As they were received."""
    tables.client.command("DELETE FROM silver_trades WHERE sequence IN (1, 3)")
    found = read_unprocessed(tables, "binance")
    assert found.schema == {**FRAMES, **SOURCE}
    assert found.select(*FRAMES).rows() == [
        (frame.recv_us * 1000, frame.connection, frame.seq, frame.text)
        for frame in (frames[0], frames[2], frames[3])
    ]
    assert (
        found.select(*SOURCE).rows()
        == tables.query(
            "SELECT source, source_partition, source_offset FROM bronze_frames FINAL "
            "WHERE source_offset IN (0, 2, 3) ORDER BY source_offset"
        ).rows()
    )
    assert numbers(tables, "kraken") == []


def test_frames_without_their_dead_letters_are_left(tables: Database, frames: list[Frame]) -> None:
    """A frame that could not be read has one."""
    assert frames[5].text == "no JSON"
    tables.client.command("TRUNCATE TABLE dead_letters")
    assert numbers(tables) == [*REPEATS, 5]


@pytest.mark.usefixtures("frames")
def test_what_was_stored_long_before_the_last_is_not_looked_at(tables: Database) -> None:
    """What another process left behind long ago was seen by those since then."""
    tables.client.command("TRUNCATE TABLE silver_trades")
    assert numbers(tables) == [0, 1, 2, *REPEATS]
    shift = f"INTERVAL {RECENT_S + 1} SECOND"
    tables.client.command(
        "INSERT INTO bronze_frames SELECT * REPLACE (source_offset + 10 AS source_offset, "
        f"received_at + {shift} AS received_at, inserted_at + {shift} AS inserted_at) "
        "FROM bronze_frames WHERE bronze_frames.source_offset IN (1, 4)"
    )
    assert numbers(tables) == [11]
