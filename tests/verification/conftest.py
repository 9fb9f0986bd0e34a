"""Fixtures that tests of verification share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from candlewax.cli.rebuild import build_player
from candlewax.clickhouse.client import Database
from candlewax.runtime import settings
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from candlewax.verification.content_hash import Comparison
from candlewax.verification.rebuild import FIRST, LAST, rebuild
from tests.support import certified_candles
from tests.support.certified_candles import FILLS, OUTAGES
from tests.support.command_process import name
from tests.support.exchange_server import running
from tests.support.minutes_of_trades import publish, trades_of
from tests.support.oracle import Window
from tests.support.playing import INSTRUMENTS
from tests.support.rebuilding import Rebuild
from tests.support.reconciling import COUNTS, World
from tests.support.reconciling import LAST as LAST_TRADES


@pytest.fixture
def rebuild_tables(tables: Database, engine_path: Path) -> Rebuild:
    """A function that rebuilds the tables of a test and returns the comparison."""
    environment = {
        "CANDLEWAX_CLICKHOUSE": str(engine_path),
        "CANDLEWAX_DATABASE": name(tables),
    }
    loaded = settings.load(environment, Path("/nowhere"))

    def run(begin: int = FIRST, end: int = LAST) -> Comparison:
        return rebuild(loaded, build_player(INSTRUMENTS), tables, begin, end).comparison

    return run


@pytest.fixture
def certified(database: Client) -> dict[Window, dict[str, Any]]:
    """Candles of every certificate status, stored with their trades, gaps and outages."""
    return certified_candles.store(database, FILLS, OUTAGES)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A simulator that plays nothing by itself."""
    with running(Simulator(Plan(starts_paused=True))) as (opened, _):
        yield opened


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tables: Database, simulator: Simulator
) -> Iterator[World]:
    """An exchange with trades that are stored and published; of Binance by default."""
    exchange = getattr(request, "param", "binance")
    made = World(exchange, tables, simulator)
    trades = trades_of(made.market, made.begin, (*COUNTS, LAST_TRADES))
    simulator.published.forget(exchange)
    publish(simulator, trades)
    made.store(trades)
    yield made
    made.client.close()
