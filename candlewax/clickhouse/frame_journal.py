"""Journal of frames that were received and are not stored yet.

A live feed repeats nothing, and the writer stores frames once a second. So each frame is first
written to a file in the database's directory, and the file is emptied once its frames are stored.
Frames that a killed process leaves there are read by the next one.
"""

import logging
import os
import secrets
import weakref
from pathlib import Path
from typing import Any, Final

import polars as pl

from candlewax.core import frame_log
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.core.schema import FRAMES, Columns, empty

FOLDER: Final = "journal"
"""Folder of all journals, in the directory of the embedded engine: deleted with it."""

LEFT_OVER: Final[Columns] = {"exchange": pl.String, **FRAMES}
"""Frames that a killed process left, with their exchange."""

_KEY: Final = ("exchange", "connection", "seq", "recv_ns")
"""Identity of a frame."""

_FIELDS: Final = (
    pl.col("received_at").cast(pl.Int64) * 1000 + pl.col("received_ns").cast(pl.Int64),
    pl.col("exchange", "connection", "source_offset", "frame"),
)

_log: Final = logging.getLogger(__name__)


def journal_folder(database_folder: Path, database: str) -> Path:
    """Return the folder of a database's journal."""
    return database_folder / FOLDER / database


class FrameJournal:
    """Two files in turn: one takes new frames while those of the other are being stored.

    Delivery: a frame is in a file from before the writer has it until it is stored. Files are not
    synced: they survive the death of the process, not that of the machine. Used under the writer's
    lock.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError if the folder cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        self._left_over = sorted(folder.glob("*.log"))
        self._awaited: set[tuple[Any, ...]] = set()
        process = secrets.token_hex(4)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._files = [os.open(folder / f"{process}-{place}.log", flags) for place in range(2)]
        weakref.finalize(self, _close, self._files)
        self._current = 0
        self._has_failed = self._has_half_line = False

    def read_left_over(self) -> pl.DataFrame:
        """Return the frames that a killed process left (LEFT_OVER), in the order received.

        A line that was being written when the process died is dropped.
        """
        chunks = [
            frame_log.read(data[: data.rfind(b"\n") + 1], path.name, 0).frames
            for path in self._left_over
            if (data := path.read_bytes())
        ]
        frames = [chunk.select(*LEFT_OVER) for chunk in chunks]
        return pl.concat([empty(LEFT_OVER), *frames]).sort("recv_ns", maintain_order=True)

    def await_frames(self, frames: pl.DataFrame) -> None:
        """Keep the files that were left until these frames (LEFT_OVER) were appended again."""
        self._awaited = set(frames.select(*_KEY).iter_rows())
        self._drop_left_over()

    def _drop_left_over(self) -> None:
        if not self._awaited:
            for path in self._left_over:
                path.unlink(missing_ok=True)
            self._left_over = []

    def append(self, batch: AnyBatch) -> None:
        """Write the frames of a batch. If that fails, a warning is logged once."""
        frames = _frames(batch)
        if not frames:
            return
        # A write that failed may have left half a line.
        lines = "\n" if self._has_half_line else ""
        lines += "".join(frame_log.format_line(*frame) for frame in frames)
        try:
            _write(self._files[self._current], lines.encode())
        except OSError as error:
            if not self._has_failed:
                _log.warning("a kill would lose frames that are not stored yet: %s", error)
            self._has_failed = True
            self._has_half_line = True
            return
        self._has_half_line = False
        if self._awaited:
            self._awaited -= {(frame[1], frame[2], frame[3], frame[0]) for frame in frames}
            self._drop_left_over()

    def switch(self) -> None:
        """Write to the other file from now on: the frames of this one are being stored."""
        self._current = 1 - self._current

    def empty_other(self) -> None:
        """Empty the other file: its frames are stored."""
        os.ftruncate(self._files[1 - self._current], 0)


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def _write(file: int, data: bytes) -> None:
    """Write all of the data. Raises OSError."""
    while data:
        data = data[os.write(file, data) :]


def _frames(batch: AnyBatch) -> list[tuple[int, str, str, int, str]]:
    """Return recv_ns, exchange, connection, seq and text of a batch's frames."""
    if isinstance(batch, RowBatch):
        return [
            (frame.recv_ns, batch.exchange, frame.connection, frame.seq, frame.text)
            for frame in batch.decoded.frames
        ]
    bronze = batch.tables.get("bronze_frames")
    return bronze.select(*_FIELDS).rows() if bronze is not None else []
