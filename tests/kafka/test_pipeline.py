"""The three dataflows as processes, over a real broker and a ClickHouse server."""

import itertools
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from candlewax.kafka.client import KafkaClient as Client
from tests.support.clickhouse_process import Serving, serving
from tests.support.kafka import reading
from tests.support.kafka.system import NORMALIZED, RAW, System, market, record, send
from tests.support.processes import FLOW, candlewax, queries, query, run

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
    made.forget()


WHOLE = {
    "bronze_frames": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "silver_trades": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "dead_letters": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "ohlcv": "* EXCEPT updated_at",
}
"""What must be the same wherever frames come by."""


EVERYTHING = " UNION ALL ".join(
    f"SELECT '{name}', count(), sum(sipHash64({columns})) FROM {name} FINAL"
    for name, columns in WHOLE.items()
)


EXCHANGES = {"binance", "binance_usdm", "coinbase", "kraken"}
"""Those of the sample."""


def cross_checked(system: System) -> set[str]:
    """The exchanges of which candles were compared, and none is wrong."""
    found = system.tables.query(
        "SELECT exchange FROM cross_checks FINAL "
        "WHERE candles > 0 AND mismatches + missing_in_gold + missing_in_check = 0"
    )
    return set(found["exchange"].cast(str).to_list())


def everything(folder: Path, **settings: str) -> list[list[str]]:
    """Of each table its name, how many rows it has, and a sum over the contents of all."""
    return sorted(query(folder, EVERYTHING, **settings))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[list[str]], tuple[int, int]]:
    """What the sample gives in one process: everything, how many trades, and how many of
    them count in candles.
    """
    folder = tmp_path_factory.mktemp("alone")
    done = run(folder, *FLOW)
    assert done.returncode == 0, done.stderr
    counting = "SELECT count(), countIf(empty(conditions)) FROM silver_trades FINAL"
    ((every, counted),), contents = queries(folder, counting, EVERYTHING)
    return sorted(contents), (int(every), int(counted))


@pytest.mark.parametrize("flows", [FLOWS, ("tables",)])
def test_the_sample_gives_the_same_tables_as_in_one_process(
    system: System,
    tmp_path: Path,
    flows: Sequence[str],
    alone: tuple[list[list[str]], tuple[int, int]],
) -> None:
    """Row by row, every column but the places and the clocks; and `verify` agrees, as does the
    cross-check of the process that makes the candles.
    """
    expected, wanted = alone
    running = [system.start(flow, CANDLEWAX_WATCH_SECONDS="0.2") for flow in flows]
    assert system.start("ingest").wait() == 0
    reading.until(lambda: system.stored() == wanted, seconds=120, pause=0.5)
    reading.until(lambda: cross_checked(system) == EXCHANGES, seconds=120, pause=0.5)
    for process in running:
        assert process.end() == 0, process.said()
    assert everything(tmp_path, **system.settings) == expected
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


def test_all_tables_in_one_process(system: System, tmp_path: Path) -> None:
    """Killed and begun again, with what it remembers and without; no trade is sent on."""
    log = str(record(tmp_path / "market.tsv", market(1500, seed=9)))
    running = system.durable("tables")
    assert system.start("ingest", CANDLEWAX_FEED=log).wait() == 0
    for life, name in enumerate(("", "tables-anew")):
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        send(system.servers, market(300, seed=10 + life, begin=2000 + 500 * life))
        running = system.durable("tables", name=name)
        fills = system.catch_up(running)
    assert running.end() == 0, running.said()
    system.check(fills, sent=False)


def test_a_failure_ends_it_with_its_cause(system: System, tmp_path: Path) -> None:
    """What its memory says comes next is not there: alone, and in a cluster."""
    log = str(record(tmp_path / "market.tsv", market(100, seed=5)))
    ingest = system.start("ingest", CANDLEWAX_FEED=log)
    assert ingest.wait() == 0, ingest.said()
    running = {name: system.durable(name) for name in FLOWS}
    system.catch_up(*running.values())
    assert [process.end() for process in running.values()] == [0, 0]
    gone = {"silver": RAW.format("binance"), "ohlcv": NORMALIZED}
    reading.delete_topics(system.servers, list(gone.values()))
    alone = system.durable("silver")
    assert alone.wait() == 1
    assert "Traceback" not in alone.said()
    assert f"{gone['silver']}, partition 0: what comes next" in alone.said()
    both = system.cluster("ohlcv", *system.memory("ohlcv"))
    assert 0 not in [process.wait() for process in both]
    said = "\n".join(process.said() for process in both)
    assert f"{gone['ohlcv']}, partition 0: what comes next" in said, said
