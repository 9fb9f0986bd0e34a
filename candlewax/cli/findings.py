"""Findings of the commands that look at an installation: one line for each thing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from candlewax.clickhouse.disk_guard import LOW_SPACE_BYTES, format_mebibytes, free_bytes

OK: Final = "ok"
NOTE: Final = "note"
WRONG: Final = "wrong"

SERVER_DISKS: Final = "SELECT name, free_space FROM system.disks WHERE type = 'Local' ORDER BY 1"


@dataclass(frozen=True)
class Finding:
    """Output line: the state of one thing that was checked."""

    state: str
    subject: str
    text: str

    def __str__(self) -> str:
        """Return the line as it is printed."""
        return f"{self.state:<6}{self.subject:<13}{self.text}"


def check_disk(folder: Path) -> Iterable[Finding]:
    """Check the free space of the disk of a directory."""
    try:
        yield check_space(str(folder), free_bytes(folder))
    except OSError as error:
        yield Finding(WRONG, "disk", f"{folder}: {error.strerror}")


def check_space(where: str, space: int) -> Finding:
    """Check the free space, in bytes, of a named place."""
    if space < LOW_SPACE_BYTES:
        needed = format_mebibytes(LOW_SPACE_BYTES)
        text = f"{where}: {format_mebibytes(space)} of room; {needed} are needed"
        return Finding(WRONG, "disk", text)
    return Finding(OK, "disk", f"{where}: {format_mebibytes(space)} of room")
