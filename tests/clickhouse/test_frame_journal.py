"""The journal of frames that are not stored yet."""

import os
from pathlib import Path

import pytest

from candlewax.clickhouse.frame_journal import LEFT_OVER, FrameJournal, journal_folder
from candlewax.core.batch import Batch
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import RowBatch
from tests.support.decoding import RECEIVED_NS, read

ODD = "a\tb\\n\r\n\u2028"


def batch(*seqs: int, text: str = ODD) -> RowBatch:
    """A batch of frames of Kraken, with text that a log must escape."""
    frames = [Frame(RECEIVED_NS + seq, "k0", seq, text, "k0", 0, seq) for seq in seqs]
    return RowBatch("kraken", DecodedRows("kraken", frames))


def left_over(folder: Path) -> list[tuple[object, ...]]:
    """Return the frames that a process which starts now finds."""
    return FrameJournal(folder).read_left_over().select(*LEFT_OVER).rows()


def row(seq: int) -> tuple[object, ...]:
    return ("kraken", RECEIVED_NS + seq, "k0", seq, ODD)


def test_frames_that_are_not_stored_are_read_back_as_received(tmp_path: Path) -> None:
    """From batches of rows and of columns alike, ordered by receipt."""
    journal = FrameJournal(tmp_path)
    journal.append(batch(2, 1))
    bronze = read("binance", "x").bronze
    journal.append(Batch("binance", {"bronze_frames": bronze}))
    journal.append(Batch("binance", {}))
    assert left_over(tmp_path) == [("binance", RECEIVED_NS, "c0", 0, "x"), row(1), row(2)]


def test_journal_drops_frames_once_they_are_stored(tmp_path: Path) -> None:
    """It keeps frames that arrived while the others were being stored."""
    journal = FrameJournal(tmp_path)
    journal.append(batch(1))
    journal.switch()
    journal.append(batch(2))
    assert left_over(tmp_path) == [row(1), row(2)]
    journal.empty_other()
    assert left_over(tmp_path) == [row(2)]
    journal.switch()
    journal.append(batch(3))
    journal.empty_other()
    assert left_over(tmp_path) == [row(3)]


def test_incomplete_last_line_is_dropped(tmp_path: Path) -> None:
    """Its frame did not reach the writer."""
    FrameJournal(tmp_path).append(batch(1, 2))
    (path,) = (path for path in tmp_path.iterdir() if path.stat().st_size)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 3])
    assert left_over(tmp_path) == [row(1)]


def test_left_over_files_are_deleted_once_their_frames_are_written_again(tmp_path: Path) -> None:
    """Not before, as this process may be killed too."""
    FrameJournal(tmp_path).append(batch(1, 2))
    journal = FrameJournal(tmp_path)
    frames = journal.read_left_over()
    journal.await_frames(frames)
    journal.append(batch(1))
    assert left_over(tmp_path) == [row(1), row(1), row(2)]
    journal.append(batch(2, 3))
    assert left_over(tmp_path) == [row(1), row(2), row(3)]


def test_left_over_files_are_deleted_at_once_if_all_their_frames_are_stored(tmp_path: Path) -> None:
    """A process may be killed between storing and emptying the file."""
    FrameJournal(tmp_path).append(batch(1))
    journal = FrameJournal(tmp_path)
    journal.await_frames(journal.read_left_over().clear())
    assert left_over(tmp_path) == []


def test_journal_that_cannot_be_written_warns_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames are still stored."""
    journal = FrameJournal(tmp_path)

    def fail(_: int, __: bytes) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(os, "write", fail)
    journal.append(batch(1))
    journal.append(batch(2))
    assert [record.getMessage() for record in caplog.records] == [
        "a kill would lose frames that are not stored yet: no space left"
    ]


def test_frames_after_a_half_written_line_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line itself is dropped: its write failed, and a warning said so."""
    journal = FrameJournal(tmp_path)
    write = os.write

    def write_half(file: int, data: bytes) -> int:
        write(file, data[: len(data) // 2])
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        journal.append(batch(1))
    journal.append(batch(2, 3))
    assert left_over(tmp_path) == [row(2), row(3)]


def test_each_database_of_a_directory_has_its_own_journal(tmp_path: Path) -> None:
    """Within the directory, so it is moved and deleted with the data."""
    assert journal_folder(tmp_path, "candlewax") == tmp_path / "journal" / "candlewax"
