"""Lock of an embedded database's directory, which belongs to one process at a time."""

import fcntl
from pathlib import Path
from typing import Final

IN_USE: Final = "in use by another process; an embedded database belongs to one at a time"


def is_locked(folder: Path) -> bool:
    """Return True if a running engine holds the lock of its directory."""
    try:
        with (folder / "status").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
