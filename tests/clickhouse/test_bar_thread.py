"""The thread and the command that make bars."""

from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from candlewax.clickhouse.bar_thread import BarThread
from candlewax.clickhouse.client import Database
from candlewax.core.bars.rules import parse_rules
from candlewax.core.instruments import Instrument, Instruments
from candlewax.runtime.settings import Settings
from tests.support.candles import DAY
from tests.support.stored_trades import fill, store

RULES = {"x": {"A/B": parse_rules(["tick 2"])}}
INSTRUMENTS = Instruments({"x": {"AB": Instrument("A/B", "A", "B")}}, bars=RULES)


def settings(tables: Database, path: Path) -> Settings:
    return Settings("live", path, str(tables.client.database), None, path)


def count(tables: Database) -> Any:
    return tables.query("SELECT count() FROM bars FINAL").item()


def test_thread_makes_bars_at_its_end(tables: Database, engine_path: Path) -> None:
    """Without waiting for the next look."""
    store(tables, [fill(number, number * 60_000_000) for number in range(1, 6)])
    thread = BarThread.of(settings(tables, engine_path), INSTRUMENTS)
    assert thread
    thread.begin()
    thread.end()
    assert count(tables) == 3


def measured(name: str) -> Any:
    """The value of a metric of the exchange."""
    return REGISTRY.get_sample_value(name, {"exchange": "x"}) or 0


def test_metrics_tell_bars_and_the_newest_trade_in_them(
    tables: Database, engine_path: Path
) -> None:
    """A look that finds nothing new counts nothing."""
    before = measured("candlewax_bars_stored_total")
    store(tables, [fill(number, number * 60_000_000) for number in range(1, 6)])
    thread = BarThread(settings(tables, engine_path), INSTRUMENTS, None)
    for _ in range(2):
        thread.run_once()
        assert measured("candlewax_bars_stored_total") - before == 3
        assert measured("candlewax_last_bar_timestamp_seconds") == DAY / 1_000_000 + 300
    thread.end()


def test_failure_is_told_once_and_tried_again(
    tables: Database, engine_path: Path, caplog: Any
) -> None:
    """The database is away at first."""
    store(tables, [fill(number, number * 60_000_000) for number in range(1, 6)])
    tables.client.command("RENAME TABLE silver_trades TO away")
    thread = BarThread(settings(tables, engine_path), INSTRUMENTS, None)
    thread.run_once()
    thread.run_once()
    tables.client.command("RENAME TABLE away TO silver_trades")
    assert caplog.text.count("bars were not made, it is tried again") == 1
    thread.run_once()
    assert count(tables) == 3
    thread.end()


def test_no_thread_without_thresholds(tables: Database, engine_path: Path) -> None:
    """Nor for exchanges that the process does not read."""
    where = settings(tables, engine_path)
    assert BarThread.of(where, Instruments({})) is None
    assert BarThread.of(where, INSTRUMENTS, ["kraken"]) is None
