"""Servers, places and tiers that the tests of the cold tier share."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold.tier import ColdTier
from tests.support import cold_release, cold_tables
from tests.support.cold.fixtures import object_store, place, postgres, rest_catalog
from tests.support.databases import Databases

__all__ = ["object_store", "place", "postgres", "rest_catalog"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment, and no warning that a faster planner is not installed."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")


@pytest.fixture
def tier(tables: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ColdTier]:
    """Archive in a directory, beside empty tables."""
    # The embedded engine reads local Iceberg tables only below the working directory.
    monkeypatch.chdir(tmp_path)
    with closing(cold_tables.open_local(tmp_path / "cold", tables)) as opened:
        yield opened


@pytest.fixture(scope="module")
def played(databases: Databases) -> Iterator[Database]:
    """Database with the trades of two hours, for tests that add none."""
    with databases.one() as opened:
        cold_tables.play(opened)
        yield opened


@pytest.fixture
def filled_tier(
    played: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ColdTier]:
    """Empty archive beside the trades of two hours."""
    monkeypatch.chdir(tmp_path)
    for table in ("cold_units", "cold_releases", "cold_marks"):
        played.command(f"TRUNCATE TABLE {table} SYNC")
    with closing(cold_tables.open_local(tmp_path / "cold", played)) as opened:
        yield opened


@pytest.fixture
def archived(tier: ColdTier) -> Iterator[ColdTier]:
    """Two hours of trades, offloaded and sealed."""
    cold_release.archive(tier)
    yield tier
    cold_release.make_warm(tier.database)
