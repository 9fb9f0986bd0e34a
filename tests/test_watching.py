"""The cross-check in the background."""

import logging
import threading
import time
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from candlewax.connectors.clickhouse import Database
from candlewax.settings import Settings
from candlewax.watching import Watching
from tests.test_crosscheck import FILLS, LAST_MINUTE, MARK, mend, spoil, store


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
