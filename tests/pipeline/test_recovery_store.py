"""An unusable recovery store is refused in one sentence before the start."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir

from candlewax.pipeline.recovery_store import RecoveryError, check_store


def _absent(store: Path) -> None:
    store.rmdir()


def _empty(store: Path) -> None:
    assert store.is_dir()


def _garbage(store: Path) -> None:
    (store / "part-0.sqlite3").write_bytes(os.urandom(5000))


def _other(store: Path) -> None:
    init_db_dir(store, 1)
    with closing(sqlite3.connect(store / "part-0.sqlite3")) as part:
        part.execute("INSERT INTO snaps VALUES ('now', 'silver.feed', 'k', 1, NULL)")
        part.commit()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_absent, "no recovery store here"),
        (_empty, "bytewax.recovery .* 1 begins one"),
        (_garbage, "cannot be read .*not a database"),
        (_other, "the recovery store of the dataflow silver; ohlcv needs one of its own"),
    ],
)
def test_unusable_recovery_store_is_named(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    """Before the database is opened."""
    store = tmp_path / "store"
    store.mkdir()
    make(store)
    with pytest.raises(RecoveryError, match=message):
        check_store(store, "ohlcv")


def test_recovery_store_of_the_dataflow_is_accepted(tmp_path: Path) -> None:
    """A new one, or its own."""
    init_db_dir(tmp_path, 2)
    check_store(tmp_path, "ohlcv")
    _other_of = sqlite3.connect(tmp_path / "part-1.sqlite3")
    with closing(_other_of) as part:
        part.execute("INSERT INTO snaps VALUES ('now', 'ohlcv.feed', 'k', 1, NULL)")
        part.commit()
    check_store(tmp_path, "ohlcv")
