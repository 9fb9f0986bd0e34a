"""Restore of a time range into tables of ClickHouse."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from candlewax.clickhouse.client import connect
from candlewax.cold import relations
from candlewax.cold.release import Releaser
from candlewax.cold.restore import RestoreError, default_name, restore
from candlewax.cold.tier import ColdTier
from tests.support import cold_release
from tests.support.cold_release import past_keep, warm_count
from tests.support.cold_tables import FIRST_HOUR

END = FIRST_HOUR + timedelta(hours=1)


@pytest.fixture
def own_name(archived: ColdTier) -> Iterator[str]:
    """The name of the database for restored rows, which is dropped afterwards."""
    name = default_name(archived)
    yield name
    archived.database.command(f"DROP DATABASE IF EXISTS {name} SYNC")


def test_restored_rows_equal_those_that_were_released(
    archived: ColdTier, engine_path: Path, own_name: str
) -> None:
    before = cold_release.rows(archived.database, "trades")
    gaps = archived.database.query("SELECT * FROM gaps FINAL ORDER BY ALL").rows()
    Releaser(archived).run(past_keep())
    days: list[str] = []
    done = restore(
        archived, engine_path, FIRST_HOUR, END, on_progress=lambda one: days.append(one.layer)
    )
    assert done.database == own_name
    assert set(days) >= {"raw.frames", "silver.trades", "gold.ohlcv", "meta.watermarks"}
    with closing(connect(engine_path, own_name)) as restored:
        trades = cold_release.rows(restored, "silver_trades FINAL")
        assert trades.rows() == before.filter(before["timestamp"] < END).rows()
        assert len(trades) == 40
        assert warm_count(restored, "bronze_frames") == 40
        assert warm_count(restored, "bronze_trades_binance") == 20
        assert restored.query("SELECT * FROM gaps FINAL ORDER BY ALL").rows() == gaps
        stored = "SELECT sum(toUnixTimestamp64Micro(inserted_at)) AS t FROM silver_trades"
        assert restored.query(stored)["t"][0] > 0
        again = restore(archived, engine_path, FIRST_HOUR, END)
        assert (again.units, again.present) == (0, done.units)
        restored.command(
            "ALTER TABLE silver_trades DELETE WHERE trade_id = '101' SETTINGS mutations_sync = 2"
        )
        with pytest.raises(RestoreError, match=r"silver.trades binance 2025-06-15 10:00: other"):
            restore(archived, engine_path, FIRST_HOUR, END)
    assert warm_count(archived.database, "silver_trades") == 0


def test_live_database_takes_rows_by_its_own_name_only(
    archived: ColdTier, engine_path: Path
) -> None:
    before = cold_release.all_rows(archived.database)
    Releaser(archived).run(past_keep())
    live = str(archived.database.client.database)
    done = restore(archived, engine_path, FIRST_HOUR, END, into=live)
    assert done.rows == 40 + 40
    assert warm_count(archived.database, "silver_trades") == 40
    assert cold_release.all_rows(archived.database) == before
    assert Releaser(archived).run(past_keep()).held == ()
    assert warm_count(archived.database, "silver_trades") == 0
    assert cold_release.all_rows(archived.database) == before


@pytest.mark.usefixtures("own_name")
def test_restored_rows_that_are_not_those_of_the_archive_are_named(
    archived: ColdTier, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = relations.bind
    monkeypatch.setattr(relations, "bind", lambda *args: f"{bind(*args)} AND r.source_offset % 7")
    with pytest.raises(RestoreError, match=r"raw.frames .*: restored with other rows"):
        restore(archived, engine_path, FIRST_HOUR, END)
