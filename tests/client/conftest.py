"""One database of 50 candles and 30 trades for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from tests.support.web_server import candle, filled_tables, row, store_rows

CANDLES = 50
TRADES = 30
WITH_GAP = 5
"""The candle that may miss a trade."""


@pytest.fixture(scope="module")
def stored(engine: Database, engine_path: Path) -> Iterator[Database]:
    with filled_tables(engine, engine_path, "client", CANDLES, TRADES) as opened:
        with_gap = row("1m", closed=True, **candle(WITH_GAP))
        store_rows(opened, [{**with_gap, "status": "gaps", "version": with_gap["version"] + 1}])
        yield opened


@pytest.fixture(autouse=True)
def _settings(stored: Database, engine_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the database of the test in the settings."""
    monkeypatch.setenv("CANDLEWAX_CLICKHOUSE", str(engine_path))
    monkeypatch.setenv("CANDLEWAX_DATABASE", str(stored.client.database))
