"""The client that the tests of a module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from tests.support.web_server import Client, serving


@pytest.fixture(scope="module")
def client(shared_tables: Database, engine_path: Path) -> Iterator[Client]:
    """A client of a server over `shared_tables`, which each folder or module defines."""
    with serving(shared_tables, engine_path) as served:
        yield served.client
