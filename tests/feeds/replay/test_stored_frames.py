"""Replay of stored frames."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candlewax.clickhouse.client import Database
from candlewax.core.frames import FrameBatch
from candlewax.feeds.replay import stored_frames
from candlewax.feeds.replay.stored_frames import StoredFrameSource

BEGIN = datetime(2026, 9, 14, 12, tzinfo=UTC)

NOW = datetime.now(UTC)
"""Rows with an old time of storage would expire."""

FRAME = {
    "exchange": "binance", "connection": "b0", "source": "b0", "source_partition": 0,
    "source_offset": 0, "received_at": BEGIN, "received_ns": 0, "frame": "f", "kind": "trade",
    "trades": 1, "duplicates": 0,
}  # fmt: skip


def at(us: int) -> int:
    """A time so many microseconds after the first frame, in microseconds since 1970."""
    return (BEGIN - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) + us


def store(tables: Database, *rows: dict[str, Any]) -> None:
    full = [{**FRAME, **row} for row in rows]
    tables.client.insert(
        "bronze_frames", [list(row.values()) for row in full], column_names=list(FRAME)
    )


def read(tables: Database, since: int = 0) -> list[FrameBatch]:
    part = StoredFrameSource(tables, since).build_part("", "frames", None)
    batches: list[FrameBatch] = []
    while True:
        try:
            batches += part.next_batch()  # type: ignore[arg-type]
        except StopIteration:
            return batches


def texts(batches: list[FrameBatch]) -> list[str]:
    return [text for batch in batches for text in batch.frames["frame"]]


def received_after(us: int, ns: int = 0) -> dict[str, Any]:
    """Fields of a frame received so long after the first one."""
    return {"received_at": BEGIN + timedelta(microseconds=us), "received_ns": ns}


def test_stored_frames_are_read_in_order_of_receipt_per_exchange(tables: Database) -> None:
    """To the nanosecond and across connections; equal times are ordered by number."""
    store(
        tables,
        {**received_after(5), "frame": "e", "source_offset": 4},
        {**received_after(1, 2), "frame": "c", "connection": "b1", "source": "b1"},
        {**received_after(1, 1), "frame": "b", "source_offset": 9},
        {**received_after(0), "frame": "a", "connection": "b2", "source": "b2"},
        {**received_after(5), "frame": "d", "source_offset": 3},
        {"exchange": "kraken", "frame": "k", **received_after(2)},
    )
    batches = read(tables)
    assert texts(batches) == ["a", "b", "c", "d", "e", "k"]
    assert [batch.exchange for batch in batches] == ["binance", "kraken"]
    assert batches[0].frames.select("connection", "seq", "source", "source_offset").rows()[1] == (
        "b0",
        9,
        "b0",
        9,
    )
    assert batches[0].frames["recv_ns"][1] == at(1) * 1000 + 1


def test_frame_stored_twice_is_read_once(tables: Database) -> None:
    store(tables, {"frame": "a"})
    store(tables, {"frame": "a"})
    assert texts(read(tables)) == ["a"]


def test_stored_frames_are_read_in_chunks_of_limited_size(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each frame is read once and in order."""
    frame_texts = [f"{n:03}" for n in range(100)]
    store(
        tables,
        *(
            {**received_after(n * 700_000), "source_offset": n, "frame": text}
            for n, text in enumerate(frame_texts)
        ),
    )
    monkeypatch.setattr(stored_frames, "CHUNK_BYTES", 2_000)
    batches = read(tables)
    assert texts(batches) == frame_texts
    # Four frames of slightly more than 500 bytes, and those that share a second with them.
    assert len(batches) > 15
    assert max(batch.frames.height for batch in batches) <= 8


def store_at(tables: Database, seconds: float, *rows: dict[str, Any]) -> None:
    """Store frames with this time of storage, in seconds from now."""
    full = [{**FRAME, **row, "inserted_at": NOW + timedelta(seconds=seconds)} for row in rows]
    names = list(full[0])
    tables.client.insert("bronze_frames", [list(r.values()) for r in full], column_names=names)


REST = {"connection": "rest/BTCUSDT", "source": "rest/BTCUSDT"}


@pytest.mark.parametrize("size", [1, 100_000])
def test_rest_frame_is_read_at_its_time_of_storage(
    tables: Database, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """It had waited while the websocket brought more. Of frames stored together, a response with
    duplicates is last.
    """
    monkeypatch.setattr(stored_frames, "CHUNK_BYTES", size)
    store_at(tables, 1, {**received_after(0), "frame": "a"})
    # Received at second 1 and stored at second 4, after a frame received at second 3.
    store_at(tables, 3, {**received_after(3_000_000), "frame": "b", "source_offset": 1})
    store_at(
        tables,
        4,
        {**received_after(1_000_000), **REST, "frame": "d", "duplicates": 1},
        {**received_after(3_500_000), "frame": "c", "source_offset": 2},
        {**received_after(3_400_000), **REST, "frame": "new", "source_offset": 1},
    )
    store_at(tables, 6, {**received_after(5_000_000), "frame": "e", "source_offset": 3})
    assert texts(read(tables)) == ["a", "b", "new", "c", "d", "e"]


def test_control_frame_stored_again_keeps_its_place(tables: Database) -> None:
    """Its later row replaces the first one; of frames with trades, the first row stays."""
    control = {**received_after(1_000_000), "frame": "b", "kind": "control", "trades": 0}
    trades = [
        {**received_after(0), "frame": "a", "source_offset": 5},
        {**received_after(2_000_000), "frame": "c", "source_offset": 6},
    ]
    store_at(tables, 3, trades[0], control, trades[1])
    store_at(tables, 9, {**trades[0], "duplicates": 1}, control, {**trades[1], "duplicates": 1})
    assert texts(read(tables)) == ["a", "b", "c"]


def test_frames_stored_in_reverse_order_are_read_with_bounded_memory(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as logs that were replayed latest first."""
    for n in range(12):
        store_at(
            tables,
            100 - n,
            {**received_after(n * 1_000_000), "source_offset": n, "frame": f"{n:02}"},
        )
    monkeypatch.setattr(stored_frames, "CHUNK_BYTES", 1)
    batches = read(tables)
    assert sorted(texts(batches)) == [f"{n:02}" for n in range(12)]
    assert max(batch.frames.height for batch in batches) <= stored_frames.MAX_CHUNKS + 1


def test_frames_before_the_start_are_skipped_except_connection_events(
    tables: Database,
) -> None:
    """These tell which connections were alive at the start."""
    event = '{"candlewax":"connected"}'
    store(
        tables,
        {"frame": event, "kind": "control", "source_offset": 0},
        {"frame": '{"heartbeat":1}', "kind": "control", "source_offset": 1, **received_after(1)},
        {"frame": '{"candlewax":"trade"}', "source_offset": 2, **received_after(2)},
        {"frame": "old", "source_offset": 3, **received_after(9)},
        {"frame": "new", "source_offset": 4, **received_after(10)},
    )
    assert texts(read(tables, at(10))) == [event, "new"]


def test_replay_of_an_empty_table_ends_at_once(tables: Database) -> None:
    assert read(tables) == []
