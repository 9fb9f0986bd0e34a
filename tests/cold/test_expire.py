"""Expiry of snapshots: those replaced a week ago go, and what somebody may read stays."""

from datetime import UTC, datetime, timedelta

from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance import maintain
from candlewax.cold.maintenance.expire import KEEP, expire, expired_snapshots
from candlewax.cold.maintenance.orphans import find_orphans
from candlewax.cold.maintenance.pinned import pinned_names
from candlewax.cold.tier import ColdTier
from tests.support.cold_tables import due_units, offload, scan

SILVER = LAYERS["silver.trades"]


def snapshots(tier: ColdTier) -> list[int]:
    """The snapshots of the trades, in the order of their making."""
    metadata = tier.warehouse.load(SILVER).metadata
    in_order = sorted(metadata.snapshots, key=lambda one: one.sequence_number or 0)
    return [one.snapshot_id for one in in_order]


def made_at(tier: ColdTier, snapshot: int) -> datetime:
    found = tier.warehouse.load(SILVER).snapshot_by_id(snapshot)
    assert found
    return datetime.fromtimestamp(found.timestamp_ms / 1000, UTC)


def offload_twice(tier: ColdTier) -> None:
    """Make two snapshots of the trades: the first hour alone, then all."""
    tier.writer.offload(due_units(tier, "silver.trades")[:1])
    offload(tier, "silver.trades")


def test_snapshot_expires_a_week_after_it_was_replaced(filled_tier: ColdTier) -> None:
    offload_twice(filled_tier)
    first, second = snapshots(filled_tier)
    week_later = made_at(filled_tier, second) + KEEP
    assert expire(filled_tier, SILVER, week_later) == 0
    assert expire(filled_tier, SILVER, week_later + timedelta(seconds=1)) == 1
    assert snapshots(filled_tier) == [second]
    assert first != second
    assert len(scan(filled_tier, "silver.trades")) == 82


def test_current_snapshot_never_expires(filled_tier: ColdTier) -> None:
    offload_twice(filled_tier)
    expire(filled_tier, SILVER, datetime(2100, 1, 1, tzinfo=UTC))
    assert len(snapshots(filled_tier)) == 1
    assert expire(filled_tier, SILVER, datetime(2105, 1, 1, tzinfo=UTC)) == 0
    assert len(scan(filled_tier, "silver.trades")) == 82


def test_snapshot_that_a_view_reads_neither_expires_nor_loses_a_file(
    filled_tier: ColdTier,
) -> None:
    filled_tier.writer.offload(due_units(filled_tier, "silver.trades")[:1])
    source = filled_tier.archive.table_function(filled_tier.warehouse.load(SILVER))
    database = filled_tier.database
    database.command(f"CREATE VIEW old_trades AS SELECT * FROM {source}")
    try:
        count = database.query("SELECT count() AS rows FROM old_trades")["rows"][0]
        offload(filled_tier, "silver.trades")
        much_later = datetime(2100, 1, 1, tzinfo=UTC)
        pinned = pinned_names(database)
        assert len(pinned) == 1
        assert expired_snapshots(filled_tier.warehouse.load(SILVER), much_later, pinned) == []
        assert expired_snapshots(filled_tier.warehouse.load(SILVER), much_later) != []
        # Even if another tool expires it, and the metadata log forgets it, its files stay.
        expire(filled_tier, SILVER, much_later)
        assert find_orphans(filled_tier, SILVER, much_later) != []
        maintain.maintain(filled_tier, much_later, layers=[SILVER])
        assert database.query("SELECT count() AS rows FROM old_trades")["rows"][0] == count
    finally:
        database.command("DROP VIEW old_trades")
