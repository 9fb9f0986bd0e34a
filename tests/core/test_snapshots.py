"""Snapshots in a recovery store: plain data with a version."""

import base64
import pickle
import sqlite3
import zlib
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from pickletools import genops
from typing import Final

import pytest
from bytewax.recovery import init_db_dir

from candlewax.clickhouse.client import Database
from candlewax.core.snapshots import (
    SnapshotError,
    load_deduplicator,
    load_open_candles,
    load_positions,
)
from candlewax.pipeline.recovery_store import RecoveryError, check_store
from tests.support.oracle import Fill
from tests.support.playing import binance, play, received

# A snapshot from before snapshots were plain data: it names a class by its path.
_OLDER: Final = zlib.decompress(
    base64.b64decode(
        "eNp1UsFu1DAQXXWT7Ha3rUAg0R9AKpfCL0CROAS6Ei0nVEVOPJtEzY4j2+mWw0r00gOyxKHmX+BXkJD4EsTY2SYREj"
        "698cz4vXmez8G3xXjkj3mQMeQVrNn1cQU8B2lN9LYFd/bZjd3YIzPFZpWCBE6Rmb46P3n+4ez1uR32SoY5KOp934Ku"
        "N1yWUml7YY/ieXwAJqjYMAxTyEt08ZfJ6PfTn38+RgTyH78IgBkD8v/kmlSZWYOdsgtrgpzVJOFRr0rUgEl7O10Qfu"
        "PgvbTiycYWk42N9+L9W1scmjGle+GTValUibmNd0yUwlJIsJ0OE7KlJos6PSZUhVijeyY88+jOmp3sBVV8l77i1t5Y"
        "Eq2otQDG7VeKzDwTiJDpUiBpfDhQ3mjmDZ2fDCp6V1lVXoH7joA7slMT0qOS23hkJjQod8LJkvASXXrjuPaIS0vGy0"
        "yDozez1jwqJZ7HPffwenbaBx17pDSTWjn6qGIa6EOdlZ0ZitgOVkxegk66QQ57gn9T++/8xWIb91PScjD0S9dgLcUV"
        "+GB3a1q7j0EuENoJp0lWtOvnlCWFqFo4SxDWiaoZWUhz7yaMfjZH6h8uC+P+xwUS3cv7gn4d1KdVKqr26bpi2ZbFrZ"
        "hfvyZt0uO/LKVcuw=="
    )
)

_BEGIN: Final = 1_790_035_200_000_000


def _store(folder: Path, step: str, saved: bytes) -> Path:
    init_db_dir(folder, 1)
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as part:
        part.execute("INSERT INTO snaps VALUES ('now', ?, 'binance', 1, ?)", (step, saved))
        part.commit()
    return folder


def test_snapshots_of_a_dataflow_name_no_class(tables: Database, tmp_path: Path) -> None:
    """Classes can then be renamed and moved without a new store."""
    unit = Decimal(1)
    fills = [
        Fill("binance", "BTC/USDT", str(n), n, _BEGIN + n, True, unit, unit) for n in (1, 2, 5)
    ]
    init_db_dir(tmp_path, 1)
    play(received([binance(n, fill.time, fill) for n, fill in enumerate(fills)]), tables, tmp_path)
    check_store(tmp_path, "ohlcv")
    with closing(sqlite3.connect(tmp_path / "part-0.sqlite3")) as part:
        saved = dict(part.execute("SELECT step_id, ser_change FROM snaps ORDER BY snap_epoch"))
    assert {"ohlcv.deduplicate", "ohlcv.candles"} <= set(saved)
    for data in saved.values():
        assert not {"GLOBAL", "STACK_GLOBAL"} & {code.name for code, _, _ in genops(data)}


@pytest.mark.parametrize(
    "saved",
    [_OLDER, pickle.dumps({"version": 2}), pickle.dumps({}), pickle.dumps([1]), b"", b"\x80\x04"],
    ids=["classes", "newer", "no version", "a list", "nothing", "cut short"],
)
def test_store_with_snapshot_of_another_form_is_refused(tmp_path: Path, saved: bytes) -> None:
    """The error says to delete the store."""
    store = _store(tmp_path, "ohlcv.deduplicate", saved)
    with pytest.raises(RecoveryError, match="by another version of Candlewax; delete it"):
        check_store(store, "ohlcv")


def test_only_the_newest_snapshot_of_a_part_is_checked(tmp_path: Path) -> None:
    store = _store(tmp_path, "ohlcv.deduplicate", _OLDER)
    with closing(sqlite3.connect(store / "part-0.sqlite3")) as part:
        newer = pickle.dumps({"version": 1})
        part.execute(
            "INSERT INTO snaps VALUES ('now', 'ohlcv.deduplicate', 'binance', 2, ?)", (newer,)
        )
        part.commit()
    check_store(store, "ohlcv")


@pytest.mark.parametrize("load", [load_open_candles, load_deduplicator, load_positions])
def test_snapshot_of_another_version_is_refused(load: object) -> None:
    assert callable(load)
    with pytest.raises(SnapshotError, match="another version"):
        load({"version": 2})
