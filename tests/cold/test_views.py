"""Views over warm and cold rows."""

import shutil
from pathlib import Path

from candlewax.clickhouse.client import Database
from candlewax.cold import views
from candlewax.cold.layers import LAYERS
from candlewax.cold.release import Releaser
from candlewax.cold.tier import ColdTier
from tests.support import cold_release
from tests.support.cold_release import past_keep

TRADES = LAYERS["silver.trades"]

ONE_HOUR = (
    "SELECT count() AS rows, sum(price) AS price FROM trades WHERE exchange = 'binance' "
    "AND symbol = 'BTC/USDT' AND timestamp >= toDateTime64('2025-06-15 11:00:00', 6, 'UTC') "
    "AND timestamp < toDateTime64('2025-06-15 12:00:00', 6, 'UTC')"
)


def events(database: Database) -> dict[str, int]:
    return dict(database.query("SELECT event, value FROM system.events").iter_rows())


def explain(database: Database, query: str, setting: str) -> str:
    return "\n".join(database.query(f"EXPLAIN {setting} = 1 {query}").to_series())


def test_view_is_warm_only_until_something_is_released(archived: ColdTier) -> None:
    assert not views.refresh(archived, TRADES)
    assert "Iceberg" not in explain(archived.database, ONE_HOUR, "actions")
    assert "ReadFromObjectStorage" not in explain(archived.database, ONE_HOUR, "actions")


def test_conditions_reach_both_sides(archived: ColdTier) -> None:
    cold_release.archive_late_trade(archived)
    Releaser(archived).run_layer(TRADES, past_keep())
    cold_release.store_late_trade(archived.database, "warm")
    steps = explain(archived.database, ONE_HOUR, "indexes")
    (index,) = [part for part in steps.split("PrimaryKey")[1:] if "symbol in ['BTC/USDT'" in part]
    assert "Granules: 0/" in index or "Granules: 1/1" in index
    assert "Prewhere filter column:  tuple(" in explain(archived.database, ONE_HOUR, "actions")
    before = events(archived.database)
    assert archived.database.query(ONE_HOUR).row(0)[0] == 20
    after = events(archived.database)
    pruned = ("IcebergPartitionPrunedFiles", "IcebergMinMaxIndexPrunedFiles")
    files = len(archived.warehouse.data_files(archived.warehouse.load(TRADES)))
    assert sum(after[name] - before.get(name, 0) for name in pruned) == files - 1


def test_view_shows_what_is_committed_only(archived: ColdTier) -> None:
    Releaser(archived).run_layer(TRADES, past_keep())
    before = cold_release.rows(archived.database, "trades").rows()
    table = archived.warehouse.load(TRADES)
    folder = Path(table.location().removeprefix("file://")) / "metadata"
    first = min(folder.glob("*.metadata.json"))
    shutil.copy(first, folder / "99999-0a0a0a0a.metadata.json")
    assert cold_release.rows(archived.database, "trades").rows() == before
    assert not views.refresh(archived, TRADES)


def test_view_follows_the_commits(archived: ColdTier) -> None:
    """More of them than the catalog keeps metadata files of."""
    Releaser(archived).run_layer(TRADES, past_keep())
    for number in range(3):
        cold_release.archive_late_trade(archived, f"late-{number}")
        assert views.refresh(archived, TRADES)
    assert len(cold_release.rows(archived.database, "trades")) == 85
    cold_release.make_warm(archived.database)
    assert len(cold_release.rows(archived.database, "trades")) == 3
