"""Recordings as a source: merging, resuming, damaged files."""

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


def opened(
    paths: list[Path], resume: dict[str, Position] | None = None
) -> StatefulSourcePartition[SourceItem, dict[str, Position]]:
    return FrameLogSource(paths, Counters()).build_part("feed", "logs", resume)


def rest(part: StatefulSourcePartition[SourceItem, dict[str, Position]]) -> list[SourceItem]:
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
def test_a_log_is_read_plain_or_compressed(tmp_path: Path, name: str) -> None:
    """The ending of its name tells how a log is packed."""
    rows = numbered([3, 4, 5])
    assert frames(rest(opened([log(tmp_path / name, rows)]))) == rows


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_packed_members_may_follow_each_other(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """Compressed files put one after another are one log."""
    path = tmp_path / ("a.gz" if pack is gzip.compress else "a.zst")
    rows = numbered([1, 2])
    path.write_bytes(b"".join(pack(frame_log.format_line(*row).encode()) for row in rows))
    assert frames(rest(opened([path]))) == rows


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
def test_a_truncated_file_gives_all_it_holds_and_a_letter(tmp_path: Path, name: str) -> None:
    """What comes before the cut is read, the cut is a letter, the other logs go on."""
    rows = [
        (n, "binance", "a", n, hashlib.sha512(str(n).encode()).hexdigest()) for n in range(5000)
    ]
    path = log(tmp_path / name, rows)
    path.write_bytes(path.read_bytes()[:-400])
    other = log(tmp_path / "b.tsv", numbered([10_000], name="b"))
    items = rest(opened([path, other]))
    *found, last = frames(items)
    assert "truncated_log" in reasons(items)
    assert last[2] == "b"
    assert 1000 < len(found) < len(rows)
    # The line that the cut went through may still look like one.
    assert found[:-1] == rows[: len(found) - 1]


def test_a_damaged_file_is_told_from_a_truncated_one(tmp_path: Path) -> None:
    """Bytes that do not decompress give a letter of their own reason."""
    path = tmp_path / "a.gz"
    path.write_bytes(b"this is no gzip")
    assert reasons(rest(opened([path]))) == ["damaged_log"]


@pytest.mark.usefixtures("small")
def test_logs_are_merged_by_receive_time(tmp_path: Path) -> None:
    """Several logs come as if live; equal times in the order of the logs."""
    a = numbered([1, 4, 4, 9, 20, 21, 22], name="a")
    b = numbered([2, 4, 5, 9, 9, 30], name="b")
    paths = [log(tmp_path / "a.tsv", a), log(tmp_path / "b.tsv", b)]
    expected = sorted(a + b, key=lambda row: (row[0], row[2]))
    assert frames(rest(opened(paths))) == expected


@pytest.mark.usefixtures("small")
def test_a_clock_that_was_set_back_keeps_a_log_in_its_order(tmp_path: Path) -> None:
    """Within a log, lines stay in their order whatever their times."""
    a = numbered([5, 1, 2, 6, 3, 7], name="a")
    b = numbered([4, 6, 8], name="b")
    found = frames(rest(opened([log(tmp_path / "a.tsv", a), log(tmp_path / "b.tsv", b)])))
    assert [row for row in found if row[2] == "a"] == a
    assert [row for row in found if row[2] == "b"] == b


@given(
    logs=st.lists(st.lists(st.integers(0, 30), max_size=25), min_size=1, max_size=3),
    stop=st.integers(0, 12),
)
def test_a_replay_goes_on_where_its_snapshot_was_taken(
    tmp_path_factory: pytest.TempPathFactory, logs: list[list[int]], stop: int
) -> None:
    """Cut anywhere, the two halves are the whole, frame by frame."""
    folder = tmp_path_factory.mktemp("logs")
    paths = [log(folder / f"{n}.tsv", numbered(times, name=str(n))) for n, times in enumerate(logs)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "BATCH_BYTES", 0)
        patch.setattr(recordings, "MIN_LOG_BYTES", 60)
        patch.setattr("candlewax.feeds.replay.log_reader._BLOCK", 40)
        whole = frames(rest(opened(paths)))
        first = opened(paths)
        items: list[SourceItem] = []
        try:
            for _ in range(stop):
                items += first.next_batch()
        except StopIteration:
            pass
        items += rest(opened(paths, first.snapshot()))
    assert frames(items) == whole
    assert len(whole) == sum(map(len, logs))


@pytest.mark.usefixtures("small")
def test_bad_lines_are_told_once_with_their_number(tmp_path: Path) -> None:
    """A log of garbage alone ends, each line a letter."""
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\x00\xff garbage\n" * 40)
    items = rest(opened([path]))
    offsets = [
        n
        for item in items
        if isinstance(item, UnreadableLines)
        for n in item.dead_letters["source_offset"]
    ]
    assert offsets == list(range(40))


@pytest.mark.usefixtures("small")
def test_frames_of_several_exchanges_come_apart(tmp_path: Path) -> None:
    """Each item holds one exchange."""
    rows = numbered([1, 3, 5], "binance") + numbered([2, 4, 6], "kraken", "k")
    path = log(tmp_path / "a.tsv", sorted(rows))
    items = rest(opened([path]))
    assert sorted(frames(items)) == sorted(rows)


def test_a_stop_ends_the_replay(tmp_path: Path) -> None:
    """A source that is asked to stop emits nothing more and can be resumed."""
    rows = numbered([1, 2])
    path = log(tmp_path / "a.tsv", rows)
    part = FrameLogSource([path], Counters(), lambda: True).build_part("feed", "logs", None)
    with pytest.raises(StopIteration):
        part.next_batch()
    assert frames(rest(opened([path], part.snapshot()))) == rows


def test_an_empty_log_ends_at_once(tmp_path: Path) -> None:
    """There may be nothing in a log."""
    assert rest(opened([log(tmp_path / "a.tsv", [])])) == []


def test_a_long_line_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without end cannot fill the memory: its pieces are letters."""
    monkeypatch.setattr("candlewax.feeds.replay.log_reader.LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(recordings, "BATCH_BYTES", 1 << 18)
    path = tmp_path / "a.tsv"
    path.write_bytes(b"x" * (5 << 20) + b"\n" + frame_log.format_line(*numbered([1])[0]).encode())
    items = rest(opened([path]))
    assert set(reasons(items)) == {"bad_line"}
    assert frames(items) == numbered([1])
