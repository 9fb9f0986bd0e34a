"""Live feeds through what can go wrong; `tests.kafka.chaos` does so for as long as asked."""

import random
import signal
from pathlib import Path

import pytest

from tests.kafka import chaos
from tests.support.clickhouse_process import serving
from tests.support.kafka.broker import Broker
from tests.support.kafka.fixtures import need_jars
from tests.support.kafka.system import System


def test_nothing_is_lost_and_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections cut, frames repeated and garbled, each dataflow killed, the broker and
    the database restarted: the tables hold what reached the raw topics.
    """
    need_jars()
    monkeypatch.setenv("no_proxy", "*")
    broker = Broker(tmp_path / "kafka")
    broker.start()
    with serving(tmp_path / "server") as server:
        system = System(tmp_path, broker.servers, server.dsn, "market")
        try:
            told = chaos.Chaos(system, broker, server, random.Random(7), 500, print)
            fills = chaos.run(told, 3, 1.2)
            chaos.account(system, fills)
        finally:
            system.end()
            broker.stop(signal.SIGKILL)
    assert len(fills) > 1000
    assert {"ingest", "silver", "ohlcv", "broker", "database"} <= told.done.keys()
