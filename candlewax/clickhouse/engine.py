"""The embedded engine, loaded when it is first used: its library takes some 200 MB of memory,
which a process that has a server, or none, does without.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

from candlewax.clickhouse.memory_limit import UNLIMITED, measure_lasting

_LEAST: Final = 128 << 20
"""Bytes; with less the engine does nothing."""

_loading: Final = threading.Lock()
_left_behind: Final = threading.Event()


def connect(path: str) -> Any:  # noqa: ANN401 - chDB has no types
    """Return a connection to the engine of this process, with its data in this directory."""
    with in_utc():
        from chdb.state.sqlitelike import Connection  # noqa: PLC0415 - not before it is needed

        return Connection(f"{path}?{urlencode(choose_options())}")


def choose_options() -> dict[str, int]:
    """Return what the engine of a process is opened with: all that is kept and asked in it may
    take no more than most of the memory that is left to this process. The first one who opens it
    decides.
    """
    most = measure_lasting()
    if most == UNLIMITED:
        return {}
    return {"max_server_memory_usage": max(_LEAST, most * 3 // 4)}


@contextmanager
def in_utc() -> Iterator[None]:
    """Let the engine that is opened inside take UTC for its zone, whatever the machine's is.

    It reads TZ once, as its library is loaded, and cannot be loaded with a zone that it does not
    know (POSIX forms such as UTC-3, or a misspelt name).
    """
    with _loading:
        before = os.environ.get("TZ")
        os.environ["TZ"] = "UTC"
        try:
            yield
        finally:
            if before is None:
                del os.environ["TZ"]
            else:
                os.environ["TZ"] = before


def leave_behind() -> None:
    """Note that something still runs in the engine as the process is about to end."""
    _left_behind.set()


def end_with(status: int) -> int:
    """Return the exit status of a process; where something still runs in the engine, end the
    process with it, as the engine would take it down with a fault instead.
    """
    if _left_behind.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status
