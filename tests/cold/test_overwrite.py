"""List of manifests: it stays short however often files are replaced."""

import pytest
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from candlewax.cold import overwrite
from candlewax.cold.layers import LAYERS
from candlewax.cold.overwrite import Changes
from candlewax.cold.tier import ColdTier
from tests.support.cold_tables import (
    due_units,
    hour,
    scan,
    write_again,
)

SILVER = LAYERS["silver.trades"]


def manifests(tier: ColdTier) -> int:
    table = tier.warehouse.load(SILVER)
    snapshot = table.current_snapshot()
    assert snapshot
    return len(snapshot.manifests(table.io))


def live(tier: ColdTier) -> tuple[Table, list[DataFile]]:
    table = tier.warehouse.load(SILVER)
    return table, tier.warehouse.data_files(table)


def test_metadata_is_derived_once_for_each_change(traded: ColdTier) -> None:
    changes = Changes(traded.warehouse.load(SILVER))
    before = changes.table_metadata
    assert changes.table_metadata is before
    changes.set_properties(note="new")
    assert changes.table_metadata.properties["note"] == "new"
    assert "note" not in before.properties


def test_replaced_files_leave_no_manifest_behind(traded: ColdTier) -> None:
    for _ in range(5):
        write_again(traded, hour("silver.trades", "binance"))
    # The other files, the new one, and the one that this snapshot took out.
    assert manifests(traded) == 3
    assert len(scan(traded, "silver.trades")) == 82


def test_many_manifests_are_merged_and_name_the_same_files(
    filled_tier: ColdTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for unit in due_units(filled_tier, "silver.trades"):
        filled_tier.writer.offload([unit])
    assert manifests(filled_tier) == 6
    units = filled_tier.unit_table.states(SILVER)
    before = {unit: state.measure for unit, state in units.items()}
    monkeypatch.setattr(overwrite, "MERGED_FROM", 5)
    write_again(filled_tier, hour("silver.trades", "binance"))
    assert manifests(filled_tier) == 1
    table, found = live(filled_tier)
    assert len(found) == 6
    assert filled_tier.archive.measure(table, units) == before
    # What a merged manifest names can be replaced, and so can what that names.
    for exchange in ("kraken", "kraken", "binance"):
        write_again(filled_tier, hour("silver.trades", exchange, 1))
    table, found = live(filled_tier)
    assert len(found) == 6
    assert filled_tier.archive.measure(table, units) == before
    assert len(scan(filled_tier, "silver.trades")) == 82
