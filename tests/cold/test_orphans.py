"""Removal of orphans: each kind goes after a day, and no file that somebody needs."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.table.statistics import StatisticsFile

from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.expire import expire
from candlewax.cold.maintenance.maintain import MaintenanceReport, maintain
from candlewax.cold.maintenance.orphans import find_orphans, remove_files
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from tests.support.cold_tables import (
    FIRST_HOUR,
    due_units,
    files,
    offload,
    scan,
    write_without_commit,
)

SILVER = LAYERS["silver.trades"]
NOW = datetime(2100, 1, 1, tzinfo=UTC)
"""A time at which all files are old."""


def location(tier: ColdTier) -> Path:
    return Path(tier.warehouse.load(SILVER).location().removeprefix("file://"))


def stored(tier: ColdTier) -> set[str]:
    """All files of the table's folder, by their path within it."""
    folder = location(tier)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def orphans(tier: ColdTier, now: datetime = NOW) -> set[str]:
    found = find_orphans(tier, SILVER, now)
    return {str(Path(one.path).relative_to(location(tier))) for one in found}


def leave_files(tier: ColdTier) -> set[str]:
    """Write what is due, and end before the commit. Return the files."""
    before = stored(tier)
    write_without_commit(tier, due_units(tier, "silver.trades"))
    return stored(tier) - before


def test_table_that_only_wrote_and_committed_has_no_orphans(traded: ColdTier) -> None:
    assert orphans(traded) == set()


def test_files_of_a_writer_that_ended_before_its_commit_go_after_a_day_and_not_before(
    filled_tier: ColdTier,
) -> None:
    left = leave_files(filled_tier)
    offload(filled_tier, "silver.trades")
    assert len(left) == 6
    ended = datetime(2020, 1, 1, tzinfo=UTC)
    for path in left:
        os.utime(location(filled_tier) / path, (ended.timestamp(), ended.timestamp()))
    almost = maintain(filled_tier, ended + timedelta(hours=23, minutes=59), layers=[SILVER])
    assert almost.orphans == 0
    assert left <= stored(filled_tier)
    a_day_later = maintain(filled_tier, ended + timedelta(hours=24), layers=[SILVER])
    assert (a_day_later.orphans, a_day_later.errors) == (6, ())
    assert not left & stored(filled_tier)
    assert len(scan(filled_tier, "silver.trades")) == 82


def test_uncommitted_metadata_file_is_an_orphan(traded: ColdTier) -> None:
    metadata = location(traded) / "metadata"
    (metadata / "00099-left.metadata.json").write_text("{}", "utf-8")
    (metadata / "left-m0.avro").write_bytes(b"")
    assert orphans(traded) == {
        "metadata/00099-left.metadata.json",
        "metadata/left-m0.avro",
    }


def test_data_files_of_an_expired_snapshot_are_orphans_and_not_before(
    traded: ColdTier,
) -> None:
    hourly = set(files(traded, "silver.trades"))
    maintain(traded, FIRST_HOUR + timedelta(days=9), layers=[SILVER])
    assert len(files(traded, "silver.trades")) == 2
    assert orphans(traded) == set()
    expire(traded, SILVER, NOW)
    found = orphans(traded)
    assert found >= hourly
    # Besides data, the manifest and the manifest list of the expired snapshot.
    assert {Path(path).suffix for path in found - hourly} == {".avro"}
    remove_files(traded, SILVER, find_orphans(traded, SILVER, NOW))
    assert orphans(traded) == set()
    assert len(scan(traded, "silver.trades")) == 82


def test_statistics_are_reachable(traded: ColdTier) -> None:
    table = traded.warehouse.load(SILVER)
    path = location(traded) / "metadata" / "some.stats"
    path.write_bytes(b"statistics")
    assert orphans(traded) == {"metadata/some.stats"}
    snapshot = table.current_snapshot()
    assert snapshot
    with table.update_statistics() as update:
        update.set_statistics(
            StatisticsFile.model_validate(
                {
                    "snapshot-id": snapshot.snapshot_id,
                    "statistics-path": f"file://{path}",
                    "file-size-in-bytes": 10,
                    "file-footer-size-in-bytes": 0,
                    "blob-metadata": [],
                }
            )
        )
    assert orphans(traded) == set()


def test_dry_run_lists_and_removes_nothing(filled_tier: ColdTier) -> None:
    left = leave_files(filled_tier)
    offload(filled_tier, "silver.trades")
    before = stored(filled_tier)
    lines: list[str] = []
    report = maintain(filled_tier, NOW, dry_run=True, layers=[SILVER], on_progress=lines.append)
    assert stored(filled_tier) == before
    assert (report.merges, report.files_before, report.files_after) == (2, 6, 2)
    assert (report.orphans, report.errors) == (6, ())
    assert all(any(path in line for line in lines) for path in left)


def test_nothing_is_removed_if_no_listed_file_is_reachable(
    traded: ColdTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "candlewax.cold.maintenance.orphans.reachable_paths", lambda *_: {"/elsewhere"}
    )
    with pytest.raises(ArchiveError, match="none is reachable"):
        find_orphans(traded, SILVER, NOW)


def test_nothing_is_removed_if_a_manifest_cannot_be_read(traded: ColdTier) -> None:
    for path in (location(traded) / "metadata").glob("*-m0.avro"):
        path.write_bytes(b"damaged")
    with pytest.raises(ArchiveError, match="no file is removed"):
        find_orphans(traded, SILVER, NOW)
    before = stored(traded)
    report = maintain(traded, NOW, layers=[SILVER, LAYERS["raw.frames"]])
    # Neither correction nor compaction nor the sweep can be done; the other layer has no work.
    assert len(report.errors) == 3
    assert stored(traded) == before


def test_reports_add_up() -> None:
    total = MaintenanceReport(merges=1, errors=("a",)) + MaintenanceReport(merges=2, orphans=3)
    assert total == MaintenanceReport(merges=3, orphans=3, errors=("a",))
