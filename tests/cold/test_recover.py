"""Recovery from the files of the archive alone."""

import json
from pathlib import Path

import polars as pl

from candlewax.cold.layers import LAYERS
from candlewax.cold.recover import lost_tables, recover
from candlewax.cold.release import Releaser
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.cold.unit_table import RELEASED, SEALED, VERIFIED
from tests.support import cold_release, cold_tables
from tests.support.cold_release import all_rows, past_keep

TRADES = LAYERS["silver.trades"]


def without_catalog(tier: ColdTier) -> ColdTier:
    """Lose the catalog and the memory of the units."""
    for table in ("cold_units", "cold_releases", "cold_marks"):
        tier.database.command(f"TRUNCATE TABLE {table} SYNC")
    Path("cold/catalog.db").unlink()
    return open_tier(tier.settings, tier.database)


def add_uncommitted() -> None:
    """Write the metadata file of a process that ended before it wrote its snapshot's files."""
    metadata = Path("cold/warehouse/silver/trades/metadata")
    newest = max(metadata.glob("*.metadata.json"))
    content = json.loads(newest.read_text())
    for snapshot in content["snapshots"]:
        snapshot["manifest-list"] += ".gone"
    path = metadata / f"{int(newest.name[:5]) + 1:05}-0a0a0a0a.metadata.json"
    path.write_text(json.dumps(content))


def metadata_files(tier: ColdTier) -> dict[str, str]:
    """The committed metadata file of each table."""
    return {name: tier.warehouse.load(layer).metadata_location for name, layer in LAYERS.items()}


def test_units_and_catalog_are_the_same_as_before(archived: ColdTier) -> None:
    Releaser(archived).run_layer(TRADES, past_keep())
    before = archived.unit_table.states()
    rows = all_rows(archived.database)
    pins = {
        name: archived.warehouse.load(layer).metadata_location for name, layer in LAYERS.items()
    }
    add_uncommitted()
    tier = without_catalog(archived)
    assert set(lost_tables(tier)) == set(LAYERS)
    found = recover(tier, is_sealed=lambda unit, _: unit.layer == TRADES.name)
    assert found.unverified == ()
    assert set(found.registered) == set(LAYERS)
    assert found.units == len(before)
    assert lost_tables(tier) == ()
    assert metadata_files(tier) == pins
    after = tier.unit_table.states()
    assert {unit: (one.measure, one.files, one.settled) for unit, one in after.items()} == {
        unit: (one.measure, one.files, one.settled) for unit, one in before.items()
    }
    assert {unit for unit, one in after.items() if one.released} == {
        unit for unit, one in before.items() if one.state == RELEASED
    }
    assert {one.state for unit, one in after.items() if unit.layer == TRADES.name} == {SEALED}
    assert {one.state for unit, one in after.items() if unit.layer != TRADES.name} == {VERIFIED}
    assert all_rows(tier.database) == rows
    assert tier.offloader.run_round(every_unit=True).offloaded == 0


def test_fresh_database_shows_what_is_in_the_archive(archived: ColdTier) -> None:
    rows = all_rows(archived.database)
    closed = cold_release.rows(archived.database, "candles").filter(pl.col("closed")).rows()
    for table in ("bronze_frames", "silver_trades", "ohlcv", "dead_letters", "ohlcv_revisions"):
        archived.database.command(f"TRUNCATE TABLE {table} SYNC")
    tier = without_catalog(archived)
    assert recover(tier).unverified == ()
    shown = all_rows(tier.database)
    assert shown["trades"] == rows["trades"]
    assert shown["frames"] == rows["frames"]
    assert shown["candles"] == closed
    assert 0 < len(closed) < len(rows["candles"])
    cold_release.store_late_trade(tier.database, "late")
    assert tier.offloader.run_round(every_unit=True).errors == ()
    after = cold_release.rows(tier.database, "trades").rows()
    assert [row for row in after if row in rows["trades"]] == rows["trades"]
    assert len(after) == len(rows["trades"]) + 1
    cold_release.seal(tier)
    assert Releaser(tier).run_layer(TRADES, past_keep()).held == ()
    assert cold_release.rows(tier.database, "trades").rows() == after


def test_spoilt_file_is_named(archived: ColdTier) -> None:
    unit = cold_tables.hour(TRADES.name, "kraken")
    cold_release.spoil(archived, unit)
    tier = without_catalog(archived)
    (error,) = recover(tier).unverified
    assert "/exchange=kraken/20250615T10-" in error
    state = tier.unit_table.states(TRADES)[unit]
    assert (state.state, state.released) == ("committed", True)


def test_table_created_anew_beside_its_lost_files_is_replaced(archived: ColdTier) -> None:
    pin = archived.warehouse.load(TRADES).metadata_location
    tier = without_catalog(archived)
    tier.warehouse.create_tables()
    assert TRADES.name in recover(tier).registered
    assert tier.warehouse.load(TRADES).metadata_location == pin
