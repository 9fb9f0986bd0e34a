"""What tests share: one embedded engine, an empty database for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, settings

from candlewax.clickhouse.client import Database, open_tables
from candlewax.runtime import last_filled
from tests.support.databases import Databases
from tests.support.workers import workers

pytest_plugins = ["tests.support.kafka.fixtures"]

settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    # More of them find more: they are the first of a longer list.
    max_examples=int(os.environ.get("CANDLEWAX_TEST_EXAMPLES", "40")),
    # A failure is told at once: making it small may take longer than all tests.
    phases=(Phase.explicit, Phase.generate),
    # A database or a folder serves all examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("steady")

LONG = (
    "faults/test_faults.py",
    "clickhouse/test_server.py",
    "kafka/test_pipeline.py",
    "pipeline/test_process.py",
    "dataflows/test_ohlcv.py",
    "verification/test_verify_certificates.py",
    "web/page/test_page_faults.py",
    "web/page/test_page_states.py",
    "web/page/test_page.py",
    "cli/test_up.py",
    "faults/test_embedded.py",
    "verification/test_rebuild.py",
    "verification/test_verify.py",
    "deploy/test_run.py",
    "cli/test_backfill.py",
    "pipeline/test_live_process.py",
    "dataflows/test_repair.py",
    "kafka/test_chaos.py",
)
"""Files that take long, the longest first: so they are begun, and at the end no worker waits for
another one.
"""


def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` is."""
    return workers()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; within a file the order stays."""
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


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


@pytest.fixture(scope="session")
def databases(engine: Database, engine_path: Path) -> Databases:
    """Empty databases of the engine."""
    return Databases(engine, engine_path)


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was filled last outside the tests is not known to them, nor is theirs outside."""
    monkeypatch.setattr(last_filled, "FILE", Path(__file__) / "none" / "last.json")


@pytest.fixture
def tables(databases: Databases) -> Iterator[Database]:
    """A database with all tables and views, and without a row."""
    with databases.one() as opened:
        yield opened


@pytest.fixture
def database(tables: Database) -> Client:
    """The client of an empty database with all tables and views."""
    return tables.client
