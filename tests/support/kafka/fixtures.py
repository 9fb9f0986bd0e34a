"""The broker, the ClickHouse server and the systems around them that tests share."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.kafka.client import KafkaClient as Client
from candlewax.runtime.settings import Brokers
from tests.support.clickhouse_process import Serving, serving
from tests.support.jars import MissingProgramError
from tests.support.kafka.broker import Broker, fetch_jars
from tests.support.kafka.reading import delete_topics
from tests.support.kafka.system import System

_numbers = itertools.count()


def need_jars() -> None:
    """Skip, or fail where tests may not be skipped, if no broker can be run here."""
    try:
        fetch_jars()
    except MissingProgramError as error:
        if os.environ.get("CANDLEWAX_TEST_REQUIRED"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a broker listens: the one the environment names, or one of our own."""
    named = os.environ.get("CANDLEWAX_TEST_BROKERS")
    if named:
        yield named
        return
    need_jars()
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    try:
        yield broker.servers
    finally:
        broker.stop()


@pytest.fixture
def broker(servers: str) -> Client:
    """A broker without any of our topics."""
    delete_topics(servers)
    return Client(Brokers(servers))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A ClickHouse server beside the broker."""
    with serving(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def system(
    tmp_path: Path,
    broker: Client,
    servers: str,
    server: Serving,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[System]:
    """Dataflows as processes, with an empty database and no topics."""
    assert str(broker) == servers
    monkeypatch.setenv("no_proxy", "*")
    made = System(tmp_path, servers, server.dsn, f"system_{next(_numbers)}")
    yield made
    made.forget()
