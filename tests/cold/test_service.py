"""Cold tier beside a running process."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.cold.layers import LAYERS
from candlewax.cold.service import ColdService
from candlewax.cold.unit_table import SEALED, UnitTable
from candlewax.cold.units import EPOCH
from candlewax.cold.views import VIEWS
from candlewax.pipeline.cold_flow import ArchiveSink, ColdComponents, WorkSource
from candlewax.runtime.settings import Settings, SettingsError, load
from dataflows import cold
from tests.support import cold_release
from tests.support.cold.kept import PLAYED, KeptArchives

TRADES = "silver.trades"


@pytest.fixture
def few_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the layers that have views: rounds of all take five times as long."""
    for name in LAYERS.keys() - VIEWS.keys():
        monkeypatch.delitem(LAYERS, name)


@pytest.fixture
def settings(
    kept: KeptArchives, tables: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings of an archive beside the trades of two hours."""
    monkeypatch.chdir(tmp_path)
    kept.fill(tables, PLAYED)
    yield load(
        {
            "CANDLEWAX_CLICKHOUSE": str(tables.folder),
            "CANDLEWAX_DATABASE": str(tables.client.database),
            "CANDLEWAX_COLD": "cold",
        },
        dotenv=tmp_path / "absent",
    )
    cold_release.make_warm(tables)


def states(tables: Database) -> set[str]:
    return {state.state for state in UnitTable(tables).states().values()}


def test_first_round_offloads_seals_and_counts(settings: Settings, tables: Database) -> None:
    with closing(ColdService(settings)) as service:
        service.run_round()
    assert states(tables) == {SEALED}
    assert [path.suffix for path in Path("cold/manifests").iterdir()] == [".json"]


@pytest.mark.usefixtures("few_layers")
def test_dataflow_does_the_same(settings: Settings, tables: Database) -> None:
    """It ends when it is asked to, after the round that was begun."""
    rounds = iter([False] * 400)
    service = ColdService(settings)

    def has_ended() -> bool:
        return next(rounds, True) or states(tables) == {SEALED}

    run_main(
        cold.build(
            ColdComponents(WorkSource(service, has_ended), service.write, ArchiveSink(service))
        )
    )
    assert states(tables) == {SEALED}


def test_nothing_is_archived_beside_data_of_another_kind(
    settings: Settings, tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The kind is claimed after the service has begun, as by the first message of a topic."""
    Path("cold/manifests").mkdir(parents=True)
    Path("cold/manifests/data-kind").write_text("simulated")
    with closing(ColdService(settings)) as service:
        items = service.items()
        row = pl.DataFrame({"kind": ["real"]}).to_arrow()
        tables.insert("database_kind", row, "real")
        assert list(items) == []
        assert states(tables) == set()
    assert "holds data of the simulator; the database holds data of real markets" in caplog.text


@pytest.mark.usefixtures("few_layers")
def test_archive_that_is_away_stops_nothing(
    settings: Settings, tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, and offloaded when it is back."""
    folder = Path("cold")
    folder.write_text("no directory", "utf-8")
    with closing(ColdService(settings)) as service, caplog.at_level(logging.WARNING):
        service.run_round()
        service.run_round()
        told = [record for record in caplog.records if "nothing warm is dropped" in record.message]
        assert len(told) == 1
        assert states(tables) == set()
        folder.unlink()
        service.run_round()
    assert states(tables) == {SEALED}


@pytest.mark.usefixtures("few_layers")
def test_mark_does_not_pass_rows_that_could_not_be_written(
    settings: Settings, tables: Database
) -> None:
    """Else the next round would not look at them."""
    data = Path("cold/warehouse/silver/trades/data")
    data.parent.mkdir(parents=True)
    data.write_text("no directory", "utf-8")
    with closing(ColdService(settings)) as service:
        service.run_round()
        marks = {name: UnitTable(tables).mark(LAYERS[name]) for name in ("raw.frames", TRADES)}
        assert marks["raw.frames"] > marks[TRADES] == EPOCH
        data.unlink()
        service.run_round()
    assert states(tables) == {SEALED}


@pytest.mark.parametrize(
    ("place", "clickhouse", "told"),
    [
        ("", "db", "CANDLEWAX_COLD: got nothing, takes a directory or s3://bucket/prefix"),
        ("cold", "http://127.0.0.1:1", "CANDLEWAX_COLD: got a directory, takes s3://bucket/prefix"),
    ],
)
def test_archive_that_nobody_could_read_is_refused(place: str, clickhouse: str, told: str) -> None:
    settings = load(
        {"CANDLEWAX_CLICKHOUSE": clickhouse, "CANDLEWAX_COLD": place}, dotenv=Path("absent")
    )
    with pytest.raises(SettingsError, match=told):
        ColdService(settings)
