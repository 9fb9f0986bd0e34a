"""The database that the tests of the API share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from tests.support.api_candles import COUNT
from tests.support.web_server import filled_tables


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Candles and trades, which no test changes."""
    with filled_tables(engine, engine_path, "of_the_api", COUNT, COUNT) as tables:
        yield tables
