"""Output of the cold tier's commands before there is an archive, and after a day's work."""

from pathlib import Path

import pytest

from candlewax.cli.cold_common import require_tables
from candlewax.cold.daily import run_daily
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier, open_tier
from tests.support import cold_tables


def test_empty_archive_and_lost_catalog_are_told_apart(tier: ColdTier) -> None:
    require_tables(tier)
    Path("cold/catalog.db").unlink()
    for name, told in (("cold", "cold recover registers"), ("new", "the archive is empty")):
        other = open_tier(cold_tables.local_settings(Path.cwd() / name), tier.database)
        with pytest.raises(ArchiveError, match=told):
            require_tables(other)


def test_place_that_cannot_be_written_to_is_named(tier: ColdTier, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("no directory", "utf-8")
    with pytest.raises(ArchiveError, match=f"{place}: cannot be written to: "):
        open_tier(cold_tables.local_settings(place), tier.database)


def test_work_of_the_day_tells_what_it_did(tier: ColdTier) -> None:
    lines: list[str] = []
    assert run_daily(tier, on_result=lines.append) == 0
    assert lines[0].startswith("0 files were merged into 0, ")
    assert lines[1].startswith("manifest ")
    assert lines[2] == "0 partitions released, 0 held, which have 0.0 MB"
