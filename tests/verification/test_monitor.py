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
from candlewax.verification.monitor import Watching, watch_beside
from tests.verification.test_cross_check import FILLS, LAST_MINUTE, MARK, mend, spoil, store


def chosen(folder: Path, database: str = "market", **more: float) -> Settings:
    return Settings("live", folder, database, None, Path("instruments.toml"), **more)  # type: ignore[arg-type]


@pytest.fixture
def watching(engine_path: Path, tables: Database) -> Watching:
    """A watch of a fresh database."""
    ((name,),) = tables.client.query("SELECT currentDatabase()").result_rows
    return Watching(chosen(engine_path, name))


def test_what_differs_is_named_in_the_log(
    watching: Watching, database: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """When it is found, not at every look; and when it is right again."""
    caplog.set_level(logging.INFO, "candlewax")
    candles = store(database, FILLS, MARK)
    spoil(database, LAST_MINUTE, candles)
    for _ in range(3):
        watching.look()
    named = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert f"{LAST_MINUTE}: is not what its trades say in close" in named
    assert len(named) == len(set(named))
    caplog.clear()
    mend(database, candles)
    watching.look()
    assert f"{LAST_MINUTE}: is right again" in caplog.messages
    watching.close()


def test_what_was_found_last_is_stored(watching: Watching, database: Client) -> None:
    """By exchange, and replaced by the next look."""
    candles = store(database, FILLS, MARK)
    watching.look()
    ((exchange, count, *wrong),) = stored(database)
    assert (exchange, count, wrong) == ("x", watching.checked.candles, [0, 0, 0])
    spoil(database, LAST_MINUTE, candles)
    for _ in range(2):
        watching.look()
    ((_, count, *wrong),) = stored(database)
    assert (count, wrong) == (watching.checked.candles, [len(watching.checked.wrong), 0, 0])
    assert wrong[0] > 0
    watching.close()


def stored(database: Client) -> Sequence[Sequence[Any]]:
    columns = "exchange, candles, mismatches, missing_in_gold, missing_in_check"
    rows = database.query(f"SELECT {columns} FROM cross_checks FINAL").result_rows
    return list(rows)


def test_a_result_that_cannot_be_stored_stops_no_look(
    watching: Watching, database: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once; a table of before may lack."""
    store(database, FILLS, MARK)
    database.command("DROP TABLE cross_checks")
    watching.look()
    watching.look()
    assert watching.checked.failures == 0
    assert watching.stale() is None
    (said,) = caplog.messages
    assert said.startswith("the cross-check cannot store its result: ")
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
def test_one_process_of_a_cluster_watches(
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
        REGISTRY.unregister(watching.checked)


def test_a_database_that_is_away_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Failures are counted, and told once."""
    watching = Watching(chosen(tmp_path / "nothing here"))
    watching.look()
    watching.look()
    assert watching.checked.failures == 2
    (said,) = caplog.messages
    assert said.startswith("the cross-check has to wait: ")
    assert "no database here" in said


def test_it_looks_again_and_again_until_it_is_to_end(
    engine_path: Path, tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anybody asking."""
    ((name,),) = tables.client.query("SELECT currentDatabase()").result_rows
    watching = Watching(chosen(engine_path, name, watch_seconds=0.01))
    looks, enough = [], threading.Event()

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            enough.set()

    monkeypatch.setattr(watching, "look", look)
    watching.begin()
    assert enough.wait(30)
    watching.end()
    count = len(looks)
    watching.end()
    assert len(looks) == count


def test_too_long_without_a_look_is_wrong(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from its beginning, then from the last look."""
    assert watching.stale() is None
    monkeypatch.setattr(watching, "_looked", time.monotonic() - 239)
    assert watching.stale() is None
    monkeypatch.setattr(watching, "_looked", time.monotonic() - 241)
    assert watching.stale() == "the last look was 241 s ago"
