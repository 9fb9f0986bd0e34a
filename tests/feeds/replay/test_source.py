"""Frame logs as a source: merging, resuming and damaged files."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from bytewax.inputs import StatefulSourcePartition
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core import frame_log
from candlewax.core.frames import FrameBatch, SourceItem, UnreadableLines
from candlewax.feeds.replay import source as recordings
from candlewax.feeds.replay.source import FrameLogSource, Position
from candlewax.runtime.counters import Counters

Row = tuple[int, str, str, int, str]
"""recv_ns, exchange, connection, seq, frame."""


def log(path: Path, rows: list[Row]) -> Path:
    text = "".join(frame_log.format_line(*row) for row in rows).encode()
    packed = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    path.write_bytes(packed.get(path.suffix, bytes)(text))
    return path


def open_part(
    paths: list[Path], resume: dict[str, Position] | None = None
) -> StatefulSourcePartition[SourceItem, dict[str, Position]]:
    return FrameLogSource(paths, Counters()).build_part("feed", "logs", resume)


def read_to_end(part: StatefulSourcePartition[SourceItem, dict[str, Position]]) -> list[SourceItem]:
    items: list[SourceItem] = []
    while True:
        try:
            items += part.next_batch()
        except StopIteration:
            return items


def frames(items: list[SourceItem]) -> list[Row]:
    return [
        (recv_ns, item.exchange, connection, seq, frame)
        for item in items
        if isinstance(item, FrameBatch)
        for recv_ns, connection, seq, frame in item.frames.iter_rows()
    ]


def reasons(items: list[SourceItem]) -> list[str]:
    return [
        reason
        for item in items
        if isinstance(item, UnreadableLines)
        for reason in item.dead_letters["reason"]
    ]


def numbered(times: list[int], exchange: str = "binance", name: str = "a") -> list[Row]:
    return [(time, exchange, name, seq, f"{name}{seq}") for seq, time in enumerate(times)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few lines."""
    monkeypatch.setattr(recordings, "BATCH_BYTES", 0)
    monkeypatch.setattr(recordings, "MIN_LOG_BYTES", 60)
    monkeypatch.setattr("candlewax.feeds.replay.log_reader._BLOCK", 40)


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.tsv.zst"])
def test_log_is_read_plain_or_compressed(tmp_path: Path, name: str) -> None:
    """The suffix of its name decides."""
    rows = numbered([3, 4, 5])
    assert frames(read_to_end(open_part([log(tmp_path / name, rows)]))) == rows


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_log_of_several_compressed_members_is_read(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / ("a.gz" if pack is gzip.compress else "a.zst")
    rows = numbered([1, 2])
    path.write_bytes(b"".join(pack(frame_log.format_line(*row).encode()) for row in rows))
    assert frames(read_to_end(open_part([path]))) == rows


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
def test_truncated_log_is_read_up_to_the_cut_with_a_dead_letter(tmp_path: Path, name: str) -> None:
    """Other logs are read to their end."""
    rows = [
        (n, "binance", "a", n, hashlib.sha512(str(n).encode()).hexdigest()) for n in range(5000)
    ]
    path = log(tmp_path / name, rows)
    path.write_bytes(path.read_bytes()[:-400])
    other = log(tmp_path / "b.tsv", numbered([10_000], name="b"))
    items = read_to_end(open_part([path, other]))
    *read_frames, last = frames(items)
    assert "truncated_log" in reasons(items)
    assert last[2] == "b"
    assert 1000 < len(read_frames) < len(rows)
    # The truncated line may still be a valid one.
    assert read_frames[:-1] == rows[: len(read_frames) - 1]


def test_log_that_does_not_decompress_is_a_dead_letter(tmp_path: Path) -> None:
    """Its reason differs from that of a truncated log."""
    path = tmp_path / "a.gz"
    path.write_bytes(b"this is no gzip")
    assert reasons(read_to_end(open_part([path]))) == ["damaged_log"]


@pytest.mark.usefixtures("small")
def test_logs_are_merged_by_receive_time(tmp_path: Path) -> None:
    """At equal times, in the order of the logs."""
    a = numbered([1, 4, 4, 9, 20, 21, 22], name="a")
    b = numbered([2, 4, 5, 9, 9, 30], name="b")
    paths = [log(tmp_path / "a.tsv", a), log(tmp_path / "b.tsv", b)]
    expected = sorted(a + b, key=lambda row: (row[0], row[2]))
    assert frames(read_to_end(open_part(paths))) == expected


@pytest.mark.usefixtures("small")
def test_lines_of_a_log_keep_their_order_when_the_clock_was_set_back(tmp_path: Path) -> None:
    a = numbered([5, 1, 2, 6, 3, 7], name="a")
    b = numbered([4, 6, 8], name="b")
    merged = frames(
        read_to_end(open_part([log(tmp_path / "a.tsv", a), log(tmp_path / "b.tsv", b)]))
    )
    assert [row for row in merged if row[2] == "a"] == a
    assert [row for row in merged if row[2] == "b"] == b


@given(
    logs=st.lists(st.lists(st.integers(0, 30), max_size=25), min_size=1, max_size=3),
    stop=st.integers(0, 12),
)
def test_replay_resumes_at_its_snapshot(
    tmp_path_factory: pytest.TempPathFactory, logs: list[list[int]], stop: int
) -> None:
    """For a snapshot after any batch, both parts together hold each frame once."""
    folder = tmp_path_factory.mktemp("logs")
    paths = [log(folder / f"{n}.tsv", numbered(times, name=str(n))) for n, times in enumerate(logs)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "BATCH_BYTES", 0)
        patch.setattr(recordings, "MIN_LOG_BYTES", 60)
        patch.setattr("candlewax.feeds.replay.log_reader._BLOCK", 40)
        whole = frames(read_to_end(open_part(paths)))
        first = open_part(paths)
        items: list[SourceItem] = []
        try:
            for _ in range(stop):
                items += first.next_batch()
        except StopIteration:
            pass
        items += read_to_end(open_part(paths, first.snapshot()))
    assert frames(items) == whole
    assert len(whole) == sum(map(len, logs))


@pytest.mark.usefixtures("small")
def test_log_of_invalid_lines_gives_one_dead_letter_per_line(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\x00\xff garbage\n" * 40)
    items = read_to_end(open_part([path]))
    offsets = [
        n
        for item in items
        if isinstance(item, UnreadableLines)
        for n in item.dead_letters["source_offset"]
    ]
    assert offsets == list(range(40))


@pytest.mark.usefixtures("small")
def test_each_batch_holds_frames_of_one_exchange(tmp_path: Path) -> None:
    rows = numbered([1, 3, 5], "binance") + numbered([2, 4, 6], "kraken", "k")
    path = log(tmp_path / "a.tsv", sorted(rows))
    items = read_to_end(open_part([path]))
    assert sorted(frames(items)) == sorted(rows)


def test_stopped_replay_emits_nothing_and_can_be_resumed(tmp_path: Path) -> None:
    rows = numbered([1, 2])
    path = log(tmp_path / "a.tsv", rows)
    part = FrameLogSource([path], Counters(), lambda: True).build_part("feed", "logs", None)
    with pytest.raises(StopIteration):
        part.next_batch()
    assert frames(read_to_end(open_part([path], part.snapshot()))) == rows


def test_empty_log_ends_at_once(tmp_path: Path) -> None:
    assert read_to_end(open_part([log(tmp_path / "a.tsv", [])])) == []


def test_line_above_the_limit_is_split_into_dead_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless line must not fill the memory."""
    monkeypatch.setattr("candlewax.feeds.replay.log_reader.LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(recordings, "BATCH_BYTES", 1 << 18)
    path = tmp_path / "a.tsv"
    path.write_bytes(b"x" * (5 << 20) + b"\n" + frame_log.format_line(*numbered([1])[0]).encode())
    items = read_to_end(open_part([path]))
    assert set(reasons(items)) == {"bad_line"}
    assert frames(items) == numbered([1])
