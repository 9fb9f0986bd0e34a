"""Tables and a client that the tests of the API share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database, open_tables
from tests.support.api_candles import COUNT
from tests.support.web_server import (
    Client,
    serving,
    store_candles,
    store_trades,
)


@pytest.fixture(scope="module")
def tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Tables with a few rows for all tests of this module, which only read."""
    opened = open_tables(engine_path, "of_the_api")
    store_candles(opened, COUNT)
    store_trades(opened, COUNT)
    yield opened
    opened.close()
    engine.client.command("DROP DATABASE of_the_api SYNC")


@pytest.fixture(scope="module")
def client(tables: Database, engine_path: Path) -> Iterator[Client]:
    with serving(tables, engine_path) as served:
        yield served.client
