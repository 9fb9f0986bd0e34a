"""Stored frames come as they came."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candlewax.clickhouse.client import Database
from candlewax.core.frames import FrameBatch
from candlewax.feeds.replay import stored_frames
from candlewax.feeds.replay.stored_frames import StoredFrameSource

BEGIN = datetime(2026, 9, 14, 12, tzinfo=UTC)

NOW = datetime.now(UTC)
"""What was stored long ago is dropped."""

FRAME = {
    "exchange": "binance", "connection": "b0", "source": "b0", "source_partition": 0,
    "source_offset": 0, "received_at": BEGIN, "received_ns": 0, "frame": "f", "kind": "trade",
    "trades": 1, "duplicates": 0,
}  # fmt: skip


def at(us: int) -> int:
    """Microseconds since 1970 of a time so long after the first frame."""
    return (BEGIN - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) + us


def store(tables: Database, *rows: dict[str, Any]) -> None:
    full = [{**FRAME, **row} for row in rows]
    tables.client.insert(
        "bronze_frames", [list(row.values()) for row in full], column_names=list(FRAME)
    )


def read(tables: Database, since: int = 0) -> list[FrameBatch]:
    part = StoredFrameSource(tables, since).build_part("", "frames", None)
    found: list[FrameBatch] = []
    while True:
        try:
            found += part.next_batch()  # type: ignore[arg-type]
        except StopIteration:
            return found


def texts(found: list[FrameBatch]) -> list[str]:
    return [text for received in found for text in received.frames["frame"]]


def moved(us: int, ns: int = 0) -> dict[str, Any]:
    return {"received_at": BEGIN + timedelta(microseconds=us), "received_ns": ns}


def test_frames_of_an_exchange_come_in_the_order_of_their_receipt(tables: Database) -> None:
    """To the nanosecond, whatever their connections; those of a moment by number."""
    store(
        tables,
        {**moved(5), "frame": "e", "source_offset": 4},
        {**moved(1, 2), "frame": "c", "connection": "b1", "source": "b1"},
        {**moved(1, 1), "frame": "b", "source_offset": 9},
        {**moved(0), "frame": "a", "connection": "b2", "source": "b2"},
        {**moved(5), "frame": "d", "source_offset": 3},
        {"exchange": "kraken", "frame": "k", **moved(2)},
    )
    found = read(tables)
    assert texts(found) == ["a", "b", "c", "d", "e", "k"]
    assert [received.exchange for received in found] == ["binance", "kraken"]
    assert found[0].frames.select("connection", "seq", "source", "source_offset").rows()[1] == (
        "b0",
        9,
        "b0",
        9,
    )
    assert found[0].frames["recv_ns"][1] == at(1) * 1000 + 1


def test_a_frame_stored_twice_comes_once(tables: Database) -> None:
    """As in its table."""
    store(tables, {"frame": "a"})
    store(tables, {"frame": "a"})
    assert texts(read(tables)) == ["a"]


def test_what_is_read_at_once_has_a_limit(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All the same it comes once and in order."""
    some = [f"{n:03}" for n in range(100)]
    store(
        tables,
        *({**moved(n * 700_000), "source_offset": n, "frame": text} for n, text in enumerate(some)),
    )
    monkeypatch.setattr(stored_frames, "CHUNK_BYTES", 2_000)
    found = read(tables)
    assert texts(found) == some
    # Four frames of a little more than 500 bytes, and as many as share a second with them.
    assert len(found) > 15
    assert max(received.frames.height for received in found) <= 8


def stored(tables: Database, seconds: float, *rows: dict[str, Any]) -> None:
    """Store frames as if at that moment."""
    full = [{**FRAME, **row, "inserted_at": NOW + timedelta(seconds=seconds)} for row in rows]
    names = list(full[0])
    tables.client.insert("bronze_frames", [list(r.values()) for r in full], column_names=names)


REST = {"connection": "rest/BTCUSDT", "source": "rest/BTCUSDT"}


@pytest.mark.parametrize("size", [1, 100_000])
def test_what_was_asked_for_comes_when_it_was_stored(
    tables: Database, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """It waited while the sockets brought more; of what was stored at once, an answer
    that held known trades came last.
    """
    monkeypatch.setattr(stored_frames, "CHUNK_BYTES", size)
    stored(tables, 1, {**moved(0), "frame": "a"})
    # Received at one second, stored at the fourth, behind what was received at three.
    stored(tables, 3, {**moved(3_000_000), "frame": "b", "source_offset": 1})
    stored(
        tables,
        4,
        {**moved(1_000_000), **REST, "frame": "d", "duplicates": 1},
        {**moved(3_500_000), "frame": "c", "source_offset": 2},
        {**moved(3_400_000), **REST, "frame": "new", "source_offset": 1},
    )
    stored(tables, 6, {**moved(5_000_000), "frame": "e", "source_offset": 3})
    assert texts(read(tables)) == ["a", "b", "new", "c", "d", "e"]


def test_control_frames_that_were_stored_again_keep_their_place(tables: Database) -> None:
    """Nothing new is in them, so the later row of two stays; frames with trades keep the
    first.
    """
    control = {**moved(1_000_000), "frame": "b", "kind": "control", "trades": 0}
    trades = [
        {**moved(0), "frame": "a", "source_offset": 5},
        {**moved(2_000_000), "frame": "c", "source_offset": 6},
    ]
    stored(tables, 3, trades[0], control, trades[1])
    stored(tables, 9, {**trades[0], "duplicates": 1}, control, {**trades[1], "duplicates": 1})
    assert texts(read(tables)) == ["a", "b", "c"]


def test_frames_stored_the_wrong_way_round_are_not_held_for_ever(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs that were replayed later first: all come, and a few wait at a time."""
    for n in range(12):
        stored(tables, 100 - n, {**moved(n * 1_000_000), "source_offset": n, "frame": f"{n:02}"})
    monkeypatch.setattr(stored_frames, "CHUNK_BYTES", 1)
    found = read(tables)
    assert sorted(texts(found)) == [f"{n:02}" for n in range(12)]
    assert max(received.frames.height for received in found) <= stored_frames.MAX_CHUNKS + 1


def test_earlier_frames_are_left_out_but_for_what_happened_to_connections(
    tables: Database,
) -> None:
    """Who is alive is known before the first frame comes."""
    event = '{"candlewax":"connected"}'
    store(
        tables,
        {"frame": event, "kind": "control", "source_offset": 0},
        {"frame": '{"heartbeat":1}', "kind": "control", "source_offset": 1, **moved(1)},
        {"frame": '{"candlewax":"trade"}', "source_offset": 2, **moved(2)},
        {"frame": "old", "source_offset": 3, **moved(9)},
        {"frame": "new", "source_offset": 4, **moved(10)},
    )
    assert texts(read(tables, at(10))) == [event, "new"]


def test_nothing_stored_is_nothing_read(tables: Database) -> None:
    """It just ends."""
    assert read(tables) == []
