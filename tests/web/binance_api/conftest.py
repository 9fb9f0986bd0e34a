"""The server that the tests of the Binance-shaped addresses share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from tests.support.traded_market import traded_tables


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Trades of three markets and their candles, which no test changes."""
    with traded_tables(engine, engine_path, "of_binance_shape") as tables:
        yield tables
