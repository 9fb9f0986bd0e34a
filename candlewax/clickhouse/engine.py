"""Embedded engine, loaded on first use.

Its library takes some 200 MB of memory. A process with a server, or without a database, saves
them.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

from candlewax.clickhouse.memory_limit import UNLIMITED, measure_long_term

_MIN_BYTES: Final = 128 << 20
"""Memory limit below which the engine cannot work."""

CACHE_BYTES: Final = {
    "mark_cache_size": 128 << 20,
    "primary_index_cache_size": 128 << 20,
    "index_mark_cache_size": 32 << 20,
    "query_condition_cache_size": 16 << 20,
    "vector_similarity_index_cache_size": 1 << 20,
}
"""Bounds of the engine's caches, whose defaults are gigabytes of a server."""

_load_lock: Final = threading.Lock()
_is_still_running: Final = threading.Event()


_more_options: Final[dict[str, str]] = {}


@contextmanager
def allow_backups() -> Iterator[None]:
    """Let an engine that is opened inside the block read and write backups anywhere."""
    _more_options["backups.allowed_path"] = "/"
    try:
        yield
    finally:
        _more_options.clear()


def connect(path: str) -> Any:  # noqa: ANN401 - chDB has no types
    """Return a connection to the engine of this process, with its data in the directory `path`."""
    with in_utc():
        from chdb.state.sqlitelike import Connection  # noqa: PLC0415 - load on first use

        return Connection(f"{path}?{urlencode(choose_options())}")


def choose_options() -> dict[str, int | str]:
    """Return the engine's options: its memory limit is three quarters of what is available.

    The limit covers data and queries together. The first connection of a process sets all options.
    """
    available_bytes = measure_long_term()
    if available_bytes == UNLIMITED:
        return {**CACHE_BYTES, **_more_options}
    limit = max(_MIN_BYTES, available_bytes * 3 // 4)
    return {"max_server_memory_usage": limit, **CACHE_BYTES, **_more_options}


@contextmanager
def in_utc() -> Iterator[None]:
    """Set the time zone to UTC while the engine is loaded inside the block.

    The engine reads TZ once, when its library is loaded. It does not load with a zone that it
    does not know (POSIX forms such as UTC-3, or a misspelt name).
    """
    with _load_lock:
        before = os.environ.get("TZ")
        os.environ["TZ"] = "UTC"
        try:
            yield
        finally:
            if before is None:
                del os.environ["TZ"]
            else:
                os.environ["TZ"] = before


def mark_still_running() -> None:
    """Note that a query still runs in the engine while the process is about to end."""
    _is_still_running.set()


def exit_with(status: int) -> int:
    """Return the exit status; if a query still runs in the engine, end the process with it.

    At a normal exit the engine would end the process with a fault then.
    """
    if _is_still_running.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status
