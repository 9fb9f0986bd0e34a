"""Keys of shards: Bytewax sends each to the worker that its process expects."""

import sys
import threading
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, cluster_main

from candlewax.core.shards import WHOLE, Shard
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.cluster import Cluster, find_cluster
from candlewax.pipeline.shard_keys import exchange_of, shard_key, stale_keys, worker_of

SHARDS = [Shard(index, 5) for index in range(5)]
KEYS = ["", *EXCHANGES, *(shard_key("kraken", shard) for shard in SHARDS), "abcdefg", "abcdefgh"]


class Where(StatefulBatchLogic[str, tuple[str, int], None]):
    """Tells by which thread a key is worked on."""

    def on_batch(self, values: list[str]) -> tuple[list[tuple[str, int]], bool]:
        return [(value, threading.get_ident()) for value in values], StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        return None


class Collected(DynamicSink[Any], StatelessSinkPartition[Any]):
    """Keeps what it gets, and the thread of each worker."""

    def __init__(self) -> None:
        self.items: list[tuple[str, tuple[str, int]]] = []
        self.workers: dict[int, int] = {}

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "Collected":  # noqa: ARG002
        self.workers[threading.get_ident()] = worker_index
        return self

    def write_batch(self, items: list[Any]) -> None:
        self.items += items


@pytest.mark.parametrize("workers", [2, 3])
def test_bytewax_sends_keys_where_we_expect_them(workers: int) -> None:
    """By the SipHash of the key."""
    flow, sink = Dataflow("keys"), Collected()
    source: Any = TestingSource([(key, key) for key in KEYS])
    placed = op.stateful_batch("place", op.input("in", flow, source), lambda _: Where())
    op.output("out", placed, sink)
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    found = {key: sink.workers[thread] for key, (_, thread) in sink.items}
    assert found == {key: worker_of(key, workers) for key in KEYS}


@pytest.mark.parametrize("count", [2, 3, 64])
def test_shards_are_spread_evenly_over_workers(count: int) -> None:
    """Shard by shard, for each number of workers up to 8."""
    for workers in range(1, 9):
        keys = [shard_key("binance", Shard(index, count)) for index in range(count)]
        assert [worker_of(key, workers) for key in keys] == [n % workers for n in range(count)]


def test_key_names_its_exchange() -> None:
    """An exchange in one shard keeps its plain key."""
    assert shard_key("kraken", WHOLE) == "kraken"
    assert exchange_of(shard_key("kraken", Shard(1, 3))) == "kraken"


def test_states_of_other_shards_are_stale() -> None:
    """States of exchanges that this process does not read are kept."""
    three = [shard_key("kraken", Shard(n, 3)) for n in range(3)]
    two = [shard_key("kraken", Shard(n, 2)) for n in range(2)]
    stored = {"kraken", "binance", *two, *three}
    assert stale_keys(stored, three) == {"kraken", *two}
    assert stale_keys(stored, ["kraken"]) == {*two, *three}


OPTIONS = [
    ([], {}, Cluster(1, 1, 0)),
    (["-w", "3"], {}, Cluster(1, 3, 0)),
    (["-i", "1", "-a", "a:1;b:2"], {}, Cluster(2, 1, 1)),
    (["-i1", "-a", "a:1;b:2;c:3", "-w2"], {}, Cluster(3, 2, 1)),
    ([], {"BYTEWAX_PROCESS_ID": "2", "BYTEWAX_ADDRESSES": "a:1;b:2;c:3"}, Cluster(3, 1, 2)),
    (
        [],
        {
            "BYTEWAX_POD_NAME": "wax-1",
            "BYTEWAX_STATEFULSET_NAME": "wax",
            "BYTEWAX_HOSTFILE_PATH": "hosts",
        },
        Cluster(2, 1, 1),
    ),
]


@pytest.mark.parametrize(("options", "environment", "cluster"), OPTIONS)
def test_cluster_is_that_of_the_options(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    options: list[str],
    environment: dict[str, str],
    cluster: Cluster,
) -> None:
    """By arguments, by the environment, or by that of a stateful set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hosts").write_text("a:1\nb:2\n")
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(sys, "argv", ["run", "dataflows.ohlcv", *options])
    assert find_cluster() == cluster


def test_each_key_is_read_by_one_process_of_a_cluster() -> None:
    """For one worker in a process and for several."""
    for workers in (1, 2, 3):
        processes = [Cluster(4, workers, number) for number in range(4)]
        for key in KEYS:
            assert sum(process.runs_key(key) for process in processes) == 1


def test_workers_of_a_process_follow_each_other() -> None:
    """Bytewax numbers them process by process."""
    keys = [shard_key("kraken", Shard(index, 4)) for index in range(4)]
    first = [Cluster(2, 2, 0).runs_key(key) for key in keys]
    assert first == [True, True, False, False]
