"""Tables that the tests of SQL over HTTP only read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database, open_tables
from tests.support.sql_client import COUNT
from tests.support.web_server import Client, serving, store_candles


@pytest.fixture(scope="module")
def read_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Tables with a few candles, which nothing may change."""
    opened = open_tables(engine_path, "of_sql")
    store_candles(opened, COUNT)
    yield opened
    opened.close()
    engine.client.command("DROP DATABASE of_sql SYNC")


@pytest.fixture(scope="module")
def client(read_tables: Database, engine_path: Path) -> Iterator[Client]:
    with serving(read_tables, engine_path) as served:
        yield served.client
