"""Checks of the recovery store and the Bytewax options before a dataflow starts.

Bytewax panics on some mistakes and ignores others: with 0 workers it runs nothing and exits with
0, and it treats the store of another dataflow as empty.
"""

import argparse
import logging
import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from candlewax.core import snapshots
from candlewax.core.snapshots import SnapshotError
from candlewax.pipeline.shard_keys import stale_keys

_RUNNERS: Final = ("bytewax.run", "bytewax.testing")

_STEPS: Final = "SELECT DISTINCT substr(step_id, 1, instr(step_id || '.', '.') - 1) FROM snaps"

_NEWEST: Final = """
SELECT ser_change FROM snaps AS one WHERE ser_change IS NOT NULL AND snap_epoch = (
    SELECT max(snap_epoch) FROM snaps
    WHERE step_id = one.step_id AND state_key = one.state_key
)
"""
"""Query for the newest snapshot of each step and key."""

_STATE_KEYS: Final = """
SELECT DISTINCT step_id, state_key FROM snaps
WHERE step_id LIKE '%.deduplicate' OR step_id LIKE '%.candles' OR step_id LIKE '%.tables'
"""

_DROP_STATE: Final = "DELETE FROM snaps WHERE step_id = ? AND state_key = ?"

_BUSY_TIMEOUT_S: Final = 30.0
"""Seconds to wait while another process of the cluster changes the store."""

_log: Final = logging.getLogger(__name__)


class RecoveryError(ValueError):
    """Error for options or a recovery store that Bytewax cannot run with; the text says why."""


def check(flow: str) -> None:
    """Check the Bytewax options of this process for a dataflow. Raises RecoveryError."""
    main = sys.modules["__main__"]
    if getattr(getattr(main, "__spec__", None), "name", None) not in _RUNNERS:
        return
    options = _options()
    if options.workers_per_process and int(options.workers_per_process) < 1:
        raise RecoveryError(f"-w: got {options.workers_per_process}, takes a number of workers")
    if options.recovery_directory:
        check_store(Path(options.recovery_directory), flow)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False)
    store = os.environ.get("BYTEWAX_RECOVERY_DIRECTORY")
    parser.add_argument("-r", "--recovery-directory", default=store)
    workers = os.environ.get("BYTEWAX_WORKERS_PER_PROCESS")
    parser.add_argument("-w", "--workers-per-process", default=workers)
    return parser.parse_known_args(sys.argv[1:])[0]


def recovery_folder() -> Path | None:
    """Return the folder of the recovery store, None without one."""
    folder = _options().recovery_directory
    return Path(folder) if folder else None


def drop_stale_states(store: Path, current: Iterable[str]) -> None:
    """Drop the states of other shards of the exchanges that have these keys.

    They were right with other shards, and are older than the places in the sources now. The steps
    of the present shards begin from the tables.
    """
    for part in sorted(store.glob("part-*.sqlite3")):
        with closing(sqlite3.connect(part, timeout=_BUSY_TIMEOUT_S)) as connection, connection:
            states = connection.execute(_STATE_KEYS).fetchall()
            stale = stale_keys({key for _, key in states}, current)
            dropped = [state for state in states if state[1] in stale]
            connection.executemany(_DROP_STATE, dropped)
        if stale:
            names = ", ".join(sorted(stale))
            _log.warning("%s: dropped the state of %s, as the shards are others", part, names)


def check_store(store: Path, flow: str) -> None:
    """Check that a dataflow can use a recovery store. Raises RecoveryError."""
    if not store.is_dir():
        raise RecoveryError(
            f"{store}: no recovery store here; make a directory, then python -m bytewax.recovery "
            f"{store} 1 begins one"
        )
    parts = sorted(store.glob("part-*.sqlite3"))
    if not parts:
        raise RecoveryError(
            f"{store}: no recovery store here; python -m bytewax.recovery {store} 1 begins one"
        )
    for part in parts:
        if not os.access(part, os.R_OK | os.W_OK) or not os.access(store, os.W_OK):
            raise RecoveryError(f"{part}: this recovery store cannot be written to")
        _check_part(part, flow)


def _check_part(part: Path, flow: str) -> None:
    try:
        with closing(
            sqlite3.connect(f"{part.absolute().as_uri()}?mode=rw", uri=True)
        ) as connection:
            flows = {name for (name,) in connection.execute(_STEPS)}
            newest = [data for (data,) in connection.execute(_NEWEST)]
    except sqlite3.Error as error:
        raise RecoveryError(
            f"{part}: this recovery store cannot be read ({error}); restore it, or begin with an "
            "empty one"
        ) from error
    if others := flows - {flow}:
        raise RecoveryError(
            f"{part.parent}: the recovery store of the dataflow {', '.join(sorted(others))}; "
            f"{flow} needs one of its own"
        )
    try:
        for data in newest:
            snapshots.check_snapshot(data)
    except SnapshotError as error:
        raise RecoveryError(f"{part.parent}: {error}") from error
