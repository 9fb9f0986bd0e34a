"""Disk space of an embedded database: merges stop when it is low, inserts when it is used up.

On a full disk the embedded engine (chDB 4.4) reports success for an insert, a merge or a new
table whose files are empty. Therefore nothing starts when disk space is low. Once the disk was
full, recent inserts count as lost. At its next start the engine undoes a merge with empty files,
as long as the merged parts are still there.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError

LOW_SPACE_BYTES: Final = 64 << 20
"""Free bytes below which no database is opened and no merge starts."""

FULL_BYTES: Final = 8 << 20
"""Free bytes below which a write may have failed: the disk counts as full."""

AMPLE_BYTES: Final = 8 << 30
"""Free bytes above which the disk is checked once a second: nothing writes as much in that time."""

_CHECK_INTERVAL_S: Final = 0.1
_AMPLE_CHECK_INTERVAL_S: Final = 1.0

_STOP_MERGES: Final = "SYSTEM STOP MERGES"
_START_MERGES: Final = "SYSTEM START MERGES"
_KEEP_PARTS: Final = "SYSTEM STOP CLEANUP"

_log: Final = logging.getLogger(__name__)

Command = Callable[[str], object]


def free_bytes(folder: Path) -> int:
    """Return the bytes that this process can still write to the disk of a folder.

    The folder may be absent: then its nearest existing parent counts.
    """
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    disk = os.statvfs(existing)
    return disk.f_bavail * disk.f_frsize


def format_mebibytes(size_bytes: int) -> str:
    """Return a number of bytes as text in MiB."""
    return f"{size_bytes / (1 << 20):,.1f} MiB"


class DiskGuard:
    """Watcher of the disk of an open embedded database.

    `command` runs a statement in the engine. `was_full` stays true once the disk was full.
    """

    def __init__(self, folder: Path, command: Command) -> None:
        self.folder = folder
        self.was_full = False
        self._command = command
        self._is_merging = True
        self._interval_s = _CHECK_INTERVAL_S
        self._keeps_parts = False
        self._last_error = ""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-guard", daemon=True)

    def start(self) -> None:
        """Check the disk once, then in the background: ten times a second, once if it is ample."""
        self.check()
        self._thread.start()

    def close(self) -> None:
        """Stop checking."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def has_space(self) -> bool:
        """Return True if the disk is not full and never was since the database was opened."""
        if free_bytes(self.folder) < FULL_BYTES:
            self.was_full = True
        return not self.was_full

    def _run(self) -> None:
        while not self._closed.wait(self._interval_s):
            try:
                self.check()
            except OSError as error:
                # The next insert checks the disk as well, and raises.
                if str(error) != self._last_error:
                    self._last_error = str(error)
                    _log.error("%s: its disk cannot be checked: %s", self.folder, error.strerror)
            except ClickHouseError as error:
                # The next check sends the same statement again.
                if str(error) != self._last_error:
                    self._last_error = str(error)
                    _log.exception("%s: the engine refuses", self.folder)

    def check(self) -> None:
        """Stop or start merges by the free space; once the disk was full, keep merged parts."""
        free = free_bytes(self.folder)
        self._interval_s = _AMPLE_CHECK_INTERVAL_S if free >= AMPLE_BYTES else _CHECK_INTERVAL_S
        if self.has_space() and free >= 2 * LOW_SPACE_BYTES and not self._is_merging:
            self._command(_START_MERGES)
            self._is_merging = True
        elif (self.was_full or free < LOW_SPACE_BYTES) and self._is_merging:
            self._command(_STOP_MERGES)
            self._is_merging = False
            _log.warning("%s: %s free, merges are stopped", self.folder, format_mebibytes(free))
        if self.was_full and not self._keeps_parts:
            self._command(_KEEP_PARTS)
            self._keeps_parts = True
            _log.error("%s: the disk is full; %s", self.folder, FULL_DISK_HINT)


FULL_DISK_HINT: Final = "make room and start again, nothing is stored until then"
"""Advice that ends the message about a full disk."""
