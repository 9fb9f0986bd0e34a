"""The cross-check in the background."""

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
from candlewax.pipeline import recovery_store
from candlewax.runtime.settings import Settings
from candlewax.verification.monitor import CrossCheckMonitor, watch_beside
from tests.verification.test_cross_check import FILLS, LAST_MINUTE, MARK, mend, spoil, store


def chosen(folder: Path, database: str = "market", **more: float) -> Settings:
    return Settings("live", folder, database, None, Path("instruments.toml"), **more)  # type: ignore[arg-type]


@pytest.fixture
def watching(engine_path: Path, tables: Database) -> CrossCheckMonitor:
    """A watch of a fresh database."""
    ((name,),) = tables.client.query("SELECT currentDatabase()").result_rows
    return CrossCheckMonitor(chosen(engine_path, name))


def test_mismatch_is_logged(
    watching: CrossCheckMonitor, database: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """When it is found, not at every look; and when it is right again."""
    caplog.set_level(logging.INFO, "candlewax")
    candles = store(database, FILLS, MARK)
    spoil(database, LAST_MINUTE, candles)
    for _ in range(3):
        watching.run_once()
    named = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert f"{LAST_MINUTE}: differs from its trades in close" in named
    assert len(named) == len(set(named))
    caplog.clear()
    mend(database, candles)
    watching.run_once()
    assert f"{LAST_MINUTE}: equals its trades again" in caplog.messages
    watching.close()


def test_last_result_is_stored(watching: CrossCheckMonitor, database: Client) -> None:
    """By exchange, and replaced by the next look."""
    candles = store(database, FILLS, MARK)
    watching.run_once()
    ((exchange, count, *wrong),) = stored(database)
    assert (exchange, count, wrong) == ("x", watching.metrics.candles, [0, 0, 0])
    spoil(database, LAST_MINUTE, candles)
    for _ in range(2):
        watching.run_once()
    ((_, count, *wrong),) = stored(database)
    assert (count, wrong) == (watching.metrics.candles, [len(watching.metrics.wrong), 0, 0])
    assert wrong[0] > 0
    watching.close()


def stored(database: Client) -> Sequence[Sequence[Any]]:
    columns = "exchange, candles, mismatches, missing_in_gold, missing_in_check"
    rows = database.query(f"SELECT {columns} FROM cross_checks FINAL").result_rows
    return list(rows)


def test_monitor_goes_on_if_a_result_cannot_be_stored(
    watching: CrossCheckMonitor, database: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once; a table of before may lack."""
    store(database, FILLS, MARK)
    database.command("DROP TABLE cross_checks")
    watching.run_once()
    watching.run_once()
    assert watching.metrics.failures == 0
    assert watching.find_problem() is None
    (said,) = caplog.messages
    assert said.startswith("cross-check result not stored: ")
    watching.close()


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
    """And none where it is left to `candlewax watch`."""
    monkeypatch.setattr(sys, "argv", ["bytewax.run", "dataflows.ohlcv", *arguments])
    number = recovery_store.process_number()
    watching = watch_beside(chosen(tmp_path, watch_seconds=seconds), process_number=number)
    assert (watching is not None) == is_there
    if watching:
        REGISTRY.unregister(watching.metrics)


def test_monitor_waits_for_a_database_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Failures are counted, and told once."""
    watching = CrossCheckMonitor(chosen(tmp_path / "nothing here"))
    watching.run_once()
    watching.run_once()
    assert watching.metrics.failures == 2
    (said,) = caplog.messages
    assert said.startswith("cross-check failed, it is tried again: ")
    assert "no database here" in said


def test_monitor_runs_repeatedly_until_it_is_stopped(
    engine_path: Path, tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anybody asking."""
    ((name,),) = tables.client.query("SELECT currentDatabase()").result_rows
    watching = CrossCheckMonitor(chosen(engine_path, name, watch_seconds=0.01))
    looks, enough = [], threading.Event()

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            enough.set()

    monkeypatch.setattr(watching, "run_once", look)
    watching.begin()
    assert enough.wait(30)
    watching.end()
    count = len(looks)
    watching.end()
    assert len(looks) == count


def test_monitor_without_a_recent_run_is_unhealthy(
    watching: CrossCheckMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from its beginning, then from the last look."""
    assert watching.find_problem() is None
    monkeypatch.setattr(watching, "_last_run", time.monotonic() - 239)
    assert watching.find_problem() is None
    monkeypatch.setattr(watching, "_last_run", time.monotonic() - 241)
    assert watching.find_problem() == "the last cross-check was 241 s ago"
