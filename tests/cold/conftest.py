"""Servers, places and tiers that the tests of the cold tier share."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold.tier import ColdTier
from tests.support import cold_release
from tests.support.cold import kept as kept_archives
from tests.support.cold.fixtures import object_store, place, postgres, rest_catalog
from tests.support.databases import Databases

__all__ = ["object_store", "place", "postgres", "rest_catalog"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment, and no warning that a faster planner is not installed."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")


@pytest.fixture(scope="session")
def kept(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[kept_archives.KeptArchives]:
    """Archives of which each test gets a copy."""
    with closing(
        kept_archives.KeptArchives(databases, tmp_path_factory.mktemp("archives"))
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def played(databases: Databases, kept: kept_archives.KeptArchives) -> Iterator[Database]:
    """Database with the trades of two hours, for tests that add none."""
    with databases.one() as opened:
        kept.fill(opened, kept_archives.PLAYED)
        yield opened


@pytest.fixture
def tier(kept: kept_archives.KeptArchives, tables: Database) -> Iterator[ColdTier]:
    """Archive in a directory, beside empty tables."""
    with kept.open(kept_archives.EMPTY, tables) as opened:
        yield opened


@pytest.fixture
def filled_tier(kept: kept_archives.KeptArchives, tables: Database) -> Iterator[ColdTier]:
    """Empty archive beside the trades of two hours."""
    with kept.open(kept_archives.PLAYED, tables) as opened:
        yield opened


@pytest.fixture
def traded(kept: kept_archives.KeptArchives, tables: Database) -> Iterator[ColdTier]:
    """Two hours of trades, of which the silver ones are offloaded."""
    with kept.open(kept_archives.TRADED, tables) as opened:
        yield opened


@pytest.fixture
def offloaded(kept: kept_archives.KeptArchives, tables: Database) -> Iterator[ColdTier]:
    """Two hours of trades, of which all layers are offloaded."""
    with kept.open(kept_archives.OFFLOADED, tables) as opened:
        yield opened


@pytest.fixture
def archived(offloaded: ColdTier) -> Iterator[ColdTier]:
    """Two hours of trades, offloaded and sealed."""
    cold_release.seal(offloaded)
    yield offloaded
    cold_release.make_warm(offloaded.database)
