"""Fixtures of the tests of the cold tier."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold.tier import ColdTier
from tests.support import cold_release, cold_tables


@pytest.fixture
def tier(tables: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ColdTier:
    """Archive in a directory, beside empty tables."""
    # The embedded engine reads local Iceberg tables only below the working directory.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    return cold_tables.open_local(tmp_path / "cold", tables)


@pytest.fixture
def archived(tier: ColdTier) -> Iterator[ColdTier]:
    """Two hours of trades, offloaded and sealed."""
    cold_release.archive(tier)
    yield tier
    cold_release.make_warm(tier.database)
