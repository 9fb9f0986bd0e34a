"""Fixtures of all tests: one embedded engine, an empty database for each test; and their order."""

import logging
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, Phase, settings
from xdist.scheduler.loadfile import LoadFileScheduling

from candlewax.clickhouse.client import Database, open_tables
from candlewax.clickhouse.engine import allow_backups
from candlewax.runtime import last_filled
from tests.support.databases import Databases
from tests.support.examples import EXAMPLES
from tests.support.workers import workers

pytest_plugins = ["tests.support.kafka.fixtures"]

# Hundreds of processes start. Without compiled modules each would compile the product again, a
# quarter of the processor time of its start, and each worker all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    max_examples=EXAMPLES,
    # A failure is shown at once: shrinking it may take longer than all tests.
    phases=(Phase.explicit, Phase.generate),
    # A database or a folder serves all examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("steady")

TOGETHER: Final = ("tests/install/", "tests/kafka/", "tests/web/page/")
"""Folders whose files go to one worker: they share a wheel, a broker, or a browser."""


def _group(nodeid: str) -> str:
    """Return the folder or the file whose tests go to one worker."""
    return next((name for name in TOGETHER if nodeid.startswith(name)), nodeid.partition("::")[0])


class ByResource(LoadFileScheduling):  # type: ignore[misc]  # it comes without types
    """Sends files that share what is dear to start to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByResource:
    """Keep the tests of a file, or of a folder that shares something, on one worker."""
    return ByResource(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes `-n auto` is."""
    return workers()


def _seconds(item: pytest.Item) -> float:
    """Return about how long the file of a test takes; 0 if it is not slow."""
    marker = item.get_closest_marker("slow")
    if marker is None:
        return 0
    try:
        (reason,), seconds = marker.args, marker.kwargs["seconds"]
    except (ValueError, KeyError):
        reason = ""
    if not reason:
        raise pytest.UsageError(f"{item.nodeid}: slow(reason, seconds=...) takes both")
    return float(seconds)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest groups, so that no worker waits for another one at the end; the
    order within a group stays.
    """
    of_files: dict[tuple[str, Path], float] = {}
    for item in items:
        file = _group(item.nodeid), item.path
        of_files[file] = max(of_files.get(file, 0), _seconds(item))
    of_groups: defaultdict[str, float] = defaultdict(float)
    for (group, _), seconds in of_files.items():
        of_groups[group] += seconds
    items.sort(key=lambda item: -of_groups[_group(item.nodeid)])


@pytest.fixture(scope="session")
def engine_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the embedded engine: a process has one."""
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture(scope="session")
def engine(engine_path: Path) -> Iterator[Database]:
    """The engine itself, kept open."""
    with allow_backups():
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


@pytest.fixture(autouse=True)
def _own_log_level() -> Iterator[None]:
    """A command that a test runs sets the level of the log for that test alone."""
    loggers = [logging.getLogger(name) for name in (None, "candlewax")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def tables(databases: Databases) -> Iterator[Database]:
    """A database with all tables and views, and without a row."""
    with databases.one() as opened:
        yield opened


@pytest.fixture
def database(tables: Database) -> Client:
    """The client of an empty database with all tables and views."""
    return tables.client
