"""The recovery store and the options of a dataflow, looked at before anything starts.

Bytewax panics where they are wrong, or ignores it: no worker runs nothing and ends with 0, and
the store of another dataflow is taken for an empty one.
"""

import argparse
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from candlewax.core import snapshots
from candlewax.core.snapshots import SnapshotError

_RUNNERS: Final = ("bytewax.run", "bytewax.testing")

_STEPS: Final = "SELECT DISTINCT substr(step_id, 1, instr(step_id || '.', '.') - 1) FROM snaps"

_SAVED: Final = """
SELECT ser_change FROM snaps AS one WHERE ser_change IS NOT NULL AND snap_epoch = (
    SELECT max(snap_epoch) FROM snaps
    WHERE step_id = one.step_id AND state_key = one.state_key
)
"""
"""The newest snapshot of each part."""


class RecoveryError(ValueError):
    """Bytewax cannot run with its options or its recovery store; the text says why."""


def check(flow: str) -> None:
    """Check the options of the running process for a dataflow. Raises RecoveryError."""
    main = sys.modules["__main__"]
    if getattr(getattr(main, "__spec__", None), "name", None) not in _RUNNERS:
        return
    parser = argparse.ArgumentParser(add_help=False)
    store = os.environ.get("BYTEWAX_RECOVERY_DIRECTORY")
    parser.add_argument("-r", "--recovery-directory", default=store)
    workers = os.environ.get("BYTEWAX_WORKERS_PER_PROCESS")
    parser.add_argument("-w", "--workers-per-process", default=workers)
    chosen, _ = parser.parse_known_args(sys.argv[1:])
    if chosen.workers_per_process and int(chosen.workers_per_process) < 1:
        raise RecoveryError(f"-w: got {chosen.workers_per_process}, takes a number of workers")
    if chosen.recovery_directory:
        check_store(Path(chosen.recovery_directory), flow)


def process_number() -> int:
    """Return which process of a cluster this is, by Bytewax's options; 0 without one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    number = os.environ.get("BYTEWAX_PROCESS_ID")
    parser.add_argument("-i", "--process-id", default=number)
    chosen, _ = parser.parse_known_args(sys.argv[1:])
    return int(chosen.process_id) if (chosen.process_id or "").isdecimal() else 0


def check_store(store: Path, flow: str) -> None:
    """Check that a recovery store can be used by this dataflow. Raises RecoveryError."""
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
        with closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=rw", uri=True)) as opened:
            flows = {name for (name,) in opened.execute(_STEPS)}
            saved = [data for (data,) in opened.execute(_SAVED)]
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
        for data in saved:
            snapshots.check(data)
    except SnapshotError as error:
        raise RecoveryError(f"{part.parent}: {error}") from error
