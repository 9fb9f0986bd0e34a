"""The three dataflows as processes, over a real broker and a ClickHouse server."""

import itertools
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.connectors.broker import Broker as Client
from tests.clickhouse.front import Serving, serving
from tests.kafka import reading
from tests.kafka.broker import Broker
from tests.kafka.fixtures import need_jars
from tests.kafka.system import System, market, record, send

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
    reading.until(lambda: "INFO ingest" in ingest.said())
    _survive(chance)
    ingest.end(signal.SIGKILL)
    ingest = system.durable("ingest", CANDLEWAX_FEED=str(log))
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
    assert ingest.wait() == 0, ingest.said()
    fills = system.catch_up(*running.values())
    for process in running.values():
        assert process.end() == 0, process.said()
    system.check(fills)


def _survive(chance: random.Random) -> None:
    """Let a moment pass, another one each time."""
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "9"], timeout=chance.uniform(0, 1.5), check=False)
