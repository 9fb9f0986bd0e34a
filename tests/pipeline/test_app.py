"""The start of a process, from its recovery store or from the tables."""

from pathlib import Path

import pytest

from candlewax.pipeline import beside, builder
from candlewax.pipeline.process import ProcessContext
from tests.support import command_inside
from tests.support.databases import Databases


class StartedError(SystemExit):
    """Raised where the components would be built."""


@pytest.mark.parametrize(("feed", "resumes"), [("live", False), ("recording", True)])
def test_only_a_recording_is_replayable(
    databases: Databases,
    engine_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    feed: str,
    resumes: bool,
) -> None:
    """With a live feed all state is loaded from the tables, not from a recovery store."""
    contexts: list[ProcessContext] = []

    def record(process: ProcessContext, *_: object) -> None:
        contexts.append(process)
        raise StartedError

    monkeypatch.setattr(builder, "build_embedded", record)
    # Its metrics can be registered only once in a process.
    monkeypatch.setattr(beside, "watch_beside", lambda *_, **__: None)
    log = tmp_path / "empty.tsv"
    log.write_text("")
    with databases.one() as tables:
        settings = {
            "CANDLEWAX_CLICKHOUSE": str(engine_path),
            "CANDLEWAX_DATABASE": str(tables.client.database),
            "CANDLEWAX_FEED": "live" if feed == "live" else str(log),
            "CANDLEWAX_EXCHANGES": "binance",
        }
        done = command_inside.flow("ohlcv", **settings)
    assert done.returncode == 0, done.stderr
    assert [process.is_replayable for process in contexts] == [resumes]
    assert [process.exchanges for process in contexts] == [("binance",)]
