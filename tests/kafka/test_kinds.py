"""Dataflows behind a broker store what is of the kind of their database, and nothing else."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.core.kind_marks import KIND_TEXTS, REAL, SAMPLE_KIND
from candlewax.kafka.client import KafkaClient as Client
from candlewax.pipeline.data_kind import claim
from tests.support.clickhouse_process import Serving, serving
from tests.support.kafka.system import System, market, record
from tests.support.processes import candlewax

HERE = Path("/here")

_names = (f"of_kinds_{n}" for n in itertools.count())


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A ClickHouse server."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def system(tmp_path: Path, broker: Client, servers: str, front: Serving) -> Iterator[System]:
    """An empty database and no topics."""
    assert str(broker) == servers
    made = System(tmp_path, servers, front.dsn, next(_names))
    yield made
    made.forget()


def refuse(system: System, flow: str) -> None:
    """The dataflow ends with one sentence that names both kinds, and has stored nothing."""
    process = system.start(flow)
    assert process.wait() != 0
    said = process.said_now()
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("candlewax: market.crypto.trades."), said
    assert KIND_TEXTS[REAL] in last
    assert KIND_TEXTS[SAMPLE_KIND] in last
    assert "CANDLEWAX_CLICKHOUSE" in last
    for table in ("bronze_frames", "silver_trades", "dead_letters", "ohlcv"):
        assert system.tables.query(f"SELECT count() FROM {table}").item() == 0, table


def test_consumers_refuse_what_is_of_another_kind(system: System, tmp_path: Path) -> None:
    """Each of them: frames and trades of a recording meet a database that holds the sample."""
    log = str(record(tmp_path / "market.tsv", market(200, seed=21)))
    assert system.start("ingest", CANDLEWAX_FEED=log).wait() == 0
    name, place = system.settings["CANDLEWAX_DATABASE"], system.settings["CANDLEWAX_CLICKHOUSE"]
    other = System(tmp_path, system.servers, place, f"{name}_other")
    running = [other.start("silver"), other.start("ohlcv")]
    try:
        other.catch_up(*running)
        assert [process.end() for process in running] == [0, 0]
        told = other.tables.query("SELECT kind FROM database_kind").item()
    finally:
        other.forget()
    assert told == REAL
    claim(system.tables, HERE, name, SAMPLE_KIND)
    for flow in ("silver", "tables", "ohlcv"):
        refuse(system, flow)


def test_what_would_send_to_topics_asks_the_database(system: System, tmp_path: Path) -> None:
    """Of which it takes the gaps, or stores in it what no topic takes."""
    claim(system.tables, HERE, system.settings["CANDLEWAX_DATABASE"], SAMPLE_KIND)
    address = {"CANDLEWAX_KRAKEN_REST_URL": "http://127.0.0.1:9"}
    repair = system.start("repair", **address)
    assert repair.wait() == 1
    assert f"holds {KIND_TEXTS[SAMPLE_KIND]}; {KIND_TEXTS[REAL]}" in repair.said()
    checked = candlewax(tmp_path, "init", **system.settings)
    assert checked.returncode == 0, checked.stderr
