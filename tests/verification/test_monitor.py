"""CrossCheckMonitor: the cross-check in the background."""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from prometheus_client import REGISTRY

from candlewax.clickhouse.client import Database
from candlewax.pipeline.cluster import find_cluster
from candlewax.runtime.settings import Settings
from candlewax.verification.monitor import CrossCheckMonitor, watch_beside
from tests.verification.test_cross_check import FILLS, LAST_MINUTE, MARK, mend, spoil, store


def settings_of(folder: Path, database: str = "market", **more: float) -> Settings:
    return Settings("live", folder, database, None, Path("instruments.toml"), **more)  # type: ignore[arg-type]


@pytest.fixture
def monitor(engine_path: Path, tables: Database) -> CrossCheckMonitor:
    """A monitor of an empty database."""
    ((name,),) = tables.client.query("SELECT currentDatabase()").result_rows
    return CrossCheckMonitor(settings_of(engine_path, name))


def test_mismatch_is_logged_once_until_it_is_corrected(
    monitor: CrossCheckMonitor, database: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each run; the correction is logged too."""
    caplog.set_level(logging.INFO, "candlewax")
    candles = store(database, FILLS, MARK)
    spoil(database, LAST_MINUTE, candles)
    for _ in range(3):
        monitor.run_once()
    named = [log.getMessage() for log in caplog.records if log.levelname == "ERROR"]
    assert f"{LAST_MINUTE}: differs from its trades in close" in named
    assert len(named) == len(set(named))
    caplog.clear()
    mend(database, candles)
    monitor.run_once()
    assert f"{LAST_MINUTE}: equals its trades again" in caplog.messages
    monitor.close()


def test_last_result_is_stored(monitor: CrossCheckMonitor, database: Client) -> None:
    """By exchange; the next run replaces it."""
    candles = store(database, FILLS, MARK)
    monitor.run_once()
    ((exchange, count, *wrong),) = stored(database)
    assert (exchange, count, wrong) == ("x", monitor.metrics.candles, [0, 0, 0])
    spoil(database, LAST_MINUTE, candles)
    for _ in range(2):
        monitor.run_once()
    ((_, count, *wrong),) = stored(database)
    assert (count, wrong) == (monitor.metrics.candles, [len(monitor.metrics.wrong), 0, 0])
    assert wrong[0] > 0
    monitor.close()


def stored(database: Client) -> Sequence[Sequence[Any]]:
    columns = "exchange, candles, mismatches, missing_in_gold, missing_in_check"
    rows = database.query(f"SELECT {columns} FROM cross_checks FINAL").result_rows
    return list(rows)


def test_monitor_goes_on_if_a_result_cannot_be_stored(
    monitor: CrossCheckMonitor, database: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It warns once. A database of an older release has no such table."""
    store(database, FILLS, MARK)
    database.command("DROP TABLE cross_checks")
    monitor.run_once()
    monitor.run_once()
    assert monitor.metrics.failures == 0
    assert monitor.find_problem() is None
    (message,) = caplog.messages
    assert message.startswith("cross-check result not stored: ")
    monitor.close()


@pytest.mark.parametrize(
    ("arguments", "seconds", "is_there"),
    [
        ((), 60.0, True),
        (("-w", "2"), 60.0, True),
        (("-i", "0", "-a", "a:1;b:1"), 60.0, True),
        (("-i", "1", "-a", "a:1;b:1"), 60.0, False),
        (("--process-id", "2"), 60.0, False),
        ((), 0.0, False),
    ],
)
def test_only_the_first_process_of_a_cluster_monitors(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    seconds: float,
    *,
    is_there: bool,
) -> None:
    """None monitors if the setting leaves it to `candlewax watch`."""
    monkeypatch.setattr(sys, "argv", ["bytewax.run", "dataflows.ohlcv", *arguments])
    number = find_cluster().number
    monitor = watch_beside(settings_of(tmp_path, watch_seconds=seconds), process_number=number)
    assert (monitor is not None) == is_there
    if monitor:
        REGISTRY.unregister(monitor.metrics)


def test_monitor_waits_for_a_database_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Failures are counted, and logged once."""
    monitor = CrossCheckMonitor(settings_of(tmp_path / "nothing here"))
    monitor.run_once()
    monitor.run_once()
    assert monitor.metrics.failures == 2
    (message,) = caplog.messages
    assert message.startswith("cross-check failed, it is tried again: ")
    assert "no database here" in message


def test_monitor_runs_repeatedly_until_it_is_stopped(
    engine_path: Path, tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread of its own; it can be stopped twice."""
    ((name,),) = tables.client.query("SELECT currentDatabase()").result_rows
    monitor = CrossCheckMonitor(settings_of(engine_path, name, watch_seconds=0.01))
    runs, enough = [], threading.Event()

    def run_once() -> None:
        runs.append(1)
        if len(runs) == 3:
            enough.set()

    monkeypatch.setattr(monitor, "run_once", run_once)
    monitor.begin()
    assert enough.wait(30)
    monitor.end()
    count = len(runs)
    monitor.end()
    assert len(runs) == count


def test_monitor_without_a_recent_run_is_unhealthy(
    monitor: CrossCheckMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After four minutes since the last run."""
    assert monitor.find_problem() is None
    monkeypatch.setattr(monitor, "_last_run", time.monotonic() - 239)
    assert monitor.find_problem() is None
    monkeypatch.setattr(monitor, "_last_run", time.monotonic() - 241)
    assert monitor.find_problem() == "the last cross-check was 241 s ago"
