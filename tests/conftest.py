"""What tests share: one embedded engine, a fresh database for each test."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, settings

from candlewax.connectors.clickhouse import Database, open_tables

pytest_plugins = ["tests.kafka.fixtures"]

settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    # A failure is told at once: making it small may take longer than all tests.
    phases=(Phase.explicit, Phase.generate),
    # A database or a folder serves all examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("steady")

_numbers = itertools.count()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file run in one process; all that share a broker from outside do."""
    shared = "CANDLEWAX_TEST_BROKERS" in os.environ
    for item in items:
        uses_broker = "servers" in getattr(item, "fixturenames", ())
        group = "broker" if shared and uses_broker else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def engine_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the embedded engine: a process has one."""
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture(scope="session")
def engine(engine_path: Path) -> Iterator[Database]:
    """The engine itself, kept open."""
    opened = open_tables(engine_path, "kept_open")
    yield opened
    opened.close()


@pytest.fixture
def tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """A fresh database with all tables and views."""
    name = f"test_{next(_numbers)}"
    opened = open_tables(engine_path, name)
    yield opened
    opened.close()
    engine.client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def database(tables: Database) -> Client:
    """The client of a fresh database with all tables and views."""
    return tables.client
