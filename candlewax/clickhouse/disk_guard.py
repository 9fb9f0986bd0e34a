"""Room on the disk of an embedded database.

The embedded engine (chDB 4.4) takes no notice of a disk without room: what it inserts,
merges or creates then is said to be done, and its files are empty. So nothing is begun
with little room, and once there was none nothing that was done is believed: a merge whose
files are empty is undone when the engine starts again, as long as the parts it was made of
are there.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError

LOW_SPACE_BYTES: Final = 64 << 20
"""Bytes: with less nothing is begun."""

FULL_BYTES: Final = 8 << 20
"""Bytes: with less something may have found no room."""

_PAUSE: Final = 0.1
"""Seconds between two looks."""

_STOP_MERGES: Final = "SYSTEM STOP MERGES"
_START_MERGES: Final = "SYSTEM START MERGES"
_KEEP_PARTS: Final = "SYSTEM STOP CLEANUP"

_log: Final = logging.getLogger(__name__)

Command = Callable[[str], object]


def free(folder: Path) -> int:
    """Bytes that may still be written to the disk that a folder is on, or will be."""
    there = next(
        place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()
    )
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize


def mebibytes(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / (1 << 20):,.1f} MiB"


class DiskGuard:
    """Looks after the disk of an embedded database as long as that is open.

    `command` runs a statement in the engine. `full` tells whether there was no room once.
    """

    def __init__(self, folder: Path, command: Command) -> None:
        self.folder = folder
        self.full = False
        self._command = command
        self._merging = True
        self._kept = False
        self._refused = ""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="room", daemon=True)

    def begin(self) -> None:
        """Begin to look, in the background."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """No longer look."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def left(self) -> bool:
        """Whether what was done until now found its room."""
        if free(self.folder) < FULL_BYTES:
            self.full = True
        return not self.full

    def _watch(self) -> None:
        while not self._closed.wait(_PAUSE):
            try:
                self.look()
            except OSError as error:
                # The next insert meets it.
                if str(error) != self._refused:
                    self._refused = str(error)
                    _log.error("%s: its disk cannot be looked at: %s", self.folder, error.strerror)
            except ClickHouseError as error:
                # It is told the same again at the next look.
                if str(error) != self._refused:
                    self._refused = str(error)
                    _log.exception("%s: the engine refuses", self.folder)

    def look(self) -> None:
        """Let the engine merge only where there is room, and keep what it has merged if
        there was none.
        """
        space = free(self.folder)
        if self.left() and space >= 2 * LOW_SPACE_BYTES and not self._merging:
            self._command(_START_MERGES)
            self._merging = True
        elif (self.full or space < LOW_SPACE_BYTES) and self._merging:
            self._command(_STOP_MERGES)
            self._merging = False
            _log.warning("%s: %s of room, nothing is merged", self.folder, mebibytes(space))
        if self.full and not self._kept:
            self._command(_KEEP_PARTS)
            self._kept = True
            _log.error("%s: the disk is full; %s", self.folder, AGAIN)


AGAIN: Final = "make room and start again, nothing is stored until then"
"""What is to be done about it."""
