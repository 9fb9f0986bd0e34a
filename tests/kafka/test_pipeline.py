"""The three dataflows as processes, over a real broker and a ClickHouse server."""

import itertools
import random
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from candlewax.connectors.broker import Broker as Client
from tests.clickhouse.serving import Serving, serving
from tests.kafka import reading
from tests.kafka.broker import Broker
from tests.kafka.fixtures import need_jars
from tests.kafka.system import NORMALIZED, RAW, System, market, record, send
from tests.test_process import FLOW, candlewax, query, run

_names = (f"of_pipeline_{n}" for n in itertools.count())

FLOWS = ("silver", "ohlcv")


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
    made.end()


WHOLE = {
    "bronze_frames": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "silver_trades": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "dead_letters": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "ohlcv": "* EXCEPT (updated_at, revision)",
}
"""What must be the same wherever frames come by. Of trades that silver had stored before
ohlcv began nobody knows which came late.
"""


def everything(folder: Path, **settings: str) -> dict[str, list[list[str]]]:
    """All rows of all tables."""
    found = {
        name: query(folder, f"SELECT {columns} FROM {name} FINAL", **settings)
        for name, columns in WHOLE.items()
    }
    return {name: sorted(rows) for name, rows in found.items()}


@pytest.mark.parametrize("flows", [FLOWS, ("tables",)])
def test_the_sample_gives_the_same_tables_as_in_one_process(
    system: System, tmp_path: Path, flows: Sequence[str]
) -> None:
    """Row by row, every column but the places and the clocks; and `verify` agrees."""
    running = [system.start(flow) for flow in flows]
    assert system.start("ingest").wait() == 0
    done = run(tmp_path, *FLOW)
    assert done.returncode == 0, done.stderr
    expected = everything(tmp_path)
    counting = query(tmp_path, "SELECT countIf(empty(conditions)) FROM silver_trades FINAL")
    wanted = len(expected["silver_trades"]), int(counting[0][0])
    reading.until(lambda: system.stored() == wanted, seconds=120, pause=0.5)
    for process in running:
        assert process.end() == 0, process.said()
    found = everything(tmp_path, **system.settings)
    for name, rows in expected.items():
        assert found[name] == rows, name
    verified = candlewax(tmp_path, "verify", **system.settings)
    assert verified.returncode == 0, verified.stdout


def test_each_dataflow_in_parts(system: System, tmp_path: Path) -> None:
    """Exchanges spread over processes, each with its own."""
    log = str(record(tmp_path / "market.tsv", market(2000, seed=2)))
    running = []
    for n, exchanges in enumerate(("binance", "kraken,coinbase")):
        running += [
            system.start(flow, name=f"{flow}-{n}", CANDLEWAX_EXCHANGES=exchanges) for flow in FLOWS
        ]
        ingest = system.start("ingest", CANDLEWAX_EXCHANGES=exchanges, CANDLEWAX_FEED=log)
        assert ingest.wait() == 0, ingest.said()
    fills = system.catch_up(*running)
    for process in running:
        assert process.end(signal.SIGINT) == 0, process.said()
    system.check(fills)


def test_each_dataflow_as_a_cluster(system: System, tmp_path: Path) -> None:
    """Two processes that share the work; both end when both are asked to."""
    log = str(record(tmp_path / "market.tsv", market(2000, seed=3)))
    for process in system.cluster("ingest", CANDLEWAX_FEED=log):
        assert process.wait() == 0, process.said()
    clusters = [system.cluster(flow) for flow in FLOWS]
    fills = system.catch_up(*clusters[0], *clusters[1])
    for cluster, number in zip(clusters, (signal.SIGTERM, signal.SIGINT), strict=True):
        for process in cluster:
            process.tell(number)
        for process in cluster:
            assert process.wait() == 0, process.said()
    system.check(fills)


def test_a_process_without_memory_begins_with_the_tables(system: System, tmp_path: Path) -> None:
    """Each anew beside the other that keeps running: it reads all again, changes nothing."""
    log = str(record(tmp_path / "market.tsv", market(1000, seed=4)))
    ingest = system.start("ingest", CANDLEWAX_FEED=log)
    running = {flow: system.durable(flow) for flow in FLOWS}
    assert ingest.wait() == 0, ingest.said()
    system.catch_up(*running.values())
    for n, flow in enumerate(FLOWS):
        assert running[flow].end(signal.SIGKILL) == -signal.SIGKILL
        running[flow] = system.durable(flow, name=f"{flow}-anew")
        send(system.servers, market(300, seed=5 + n, begin=2000 + 500 * n))
        system.catch_up(*running.values())
    fills = system.catch_up(*running.values())
    for process in running.values():
        assert process.end() == 0, process.said()
    system.check(fills)


@pytest.mark.parametrize("memory", [True, False])
def test_all_tables_in_one_process(system: System, tmp_path: Path, memory: bool) -> None:
    """Killed and begun again, with what it remembers and without; no trade is sent on."""
    log = str(record(tmp_path / "market.tsv", market(1500, seed=9)))
    running = system.durable("tables")
    assert system.start("ingest", CANDLEWAX_FEED=log).wait() == 0
    for life in range(2):
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        send(system.servers, market(300, seed=10 + life, begin=2000 + 500 * life))
        running = system.durable("tables", name="" if memory else f"tables-{life}")
        fills = system.catch_up(running)
    assert running.end() == 0, running.said()
    system.check(fills, sent=False)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_failure_ends_it_with_its_cause(system: System, tmp_path: Path, flow: str) -> None:
    """What its memory says comes next is not there: alone, and in a cluster."""
    topic = RAW.format("binance") if flow == "silver" else NORMALIZED
    log = str(record(tmp_path / "market.tsv", market(100, seed=5)))
    ingest = system.start("ingest", CANDLEWAX_FEED=log)
    assert ingest.wait() == 0, ingest.said()
    running = {name: system.durable(name) for name in FLOWS}
    system.catch_up(*running.values())
    assert [process.end() for process in running.values()] == [0, 0]
    reading.delete_topics(system.servers, [topic])
    alone = system.durable(flow)
    assert alone.wait() == 1
    assert "Traceback" in alone.said()
    assert f"{topic}, partition 0: what comes next" in alone.said()
    both = system.cluster(flow, *system.memory(flow))
    assert 0 not in [process.wait() for process in both]
    said = "\n".join(process.said() for process in both)
    assert f"{topic}, partition 0: what comes next" in said, said


def test_killed_and_cut_off_again_and_again(tmp_path: Path) -> None:
    """Whatever dies, and whenever: each trade is stored once, and every candle is right."""
    need_jars()
    chance = random.Random(20)
    broker = Broker(tmp_path / "kafka")
    broker.start()
    with serving(tmp_path / "server") as server:
        system = System(tmp_path, broker.servers, server.dsn, "market")
        try:
            _torment(system, broker, server, chance, tmp_path)
        finally:
            system.end()
            broker.stop(signal.SIGKILL)


def _torment(
    system: System, broker: Broker, server: Serving, chance: random.Random, folder: Path
) -> None:
    log = record(folder / "market.tsv", market(6000, seed=1))
    running = {flow: system.durable(flow) for flow in FLOWS}
    ingest = system.durable("ingest", CANDLEWAX_FEED=str(log))
    for flow, process in {**running, "ingest": ingest}.items():
        reading.until(lambda f=flow, p=process: f"INFO {f}" in p.said())  # type: ignore[misc]
    _survive(chance)
    ingest.end(signal.SIGKILL)
    ingest = system.durable("ingest", CANDLEWAX_FEED=str(log))
    lives = dict.fromkeys(FLOWS, 1)
    victims = ["silver", "broker", "ohlcv", "server", *chance.choices(FLOWS, k=2)]
    for n, victim in enumerate(victims):
        if ingest.ended() is not None:
            send(broker.servers, market(500, seed=n, begin=10_000 + n * 1000))
        _survive(chance)
        if victim == "broker":
            broker.stop(signal.SIGKILL)
            broker.start()
        elif victim == "server":
            server.end(signal.SIGKILL)
            server.start()
        else:
            running[victim].end(signal.SIGKILL)
            running[victim] = system.durable(victim)
            lives[victim] += 1
            # Whoever finds the server or the broker away at the start ends with a message.
            reading.until(lambda v=victim: running[v].said().count(f"INFO {v}") == lives[v])  # type: ignore[misc]
    assert ingest.wait() == 0, ingest.said()
    fills = system.catch_up(*running.values())
    for process in running.values():
        assert process.end() == 0, process.said()
    system.check(fills)


def _survive(chance: random.Random) -> None:
    """Let a moment pass, another one each time."""
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "9"], timeout=chance.uniform(0, 1.5), check=False)
