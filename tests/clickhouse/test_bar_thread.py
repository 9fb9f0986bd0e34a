"""The thread and the command that make bars."""

import logging
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from candlewax.clickhouse.bar_thread import BarThread
from candlewax.clickhouse.client import Database
from candlewax.core.bars.rules import BarRule, parse_rules
from candlewax.core.instruments import Instrument, Instruments, load
from candlewax.pipeline.beside import bars_beside
from candlewax.pipeline.instruments_reload import InstrumentsReload
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
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
    thread = BarThread(settings(tables, engine_path), INSTRUMENTS)
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
    thread = BarThread(settings(tables, engine_path), INSTRUMENTS)
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
    thread = BarThread(settings(tables, engine_path), INSTRUMENTS)
    thread.run_once()
    thread.run_once()
    tables.client.command("RENAME TABLE away TO silver_trades")
    assert caplog.text.count("bars of x A/B were not made, it is tried again") == 1
    thread.run_once()
    assert count(tables) == 3
    thread.end()


def test_unexpected_error_ends_neither_the_thread_nor_the_other_markets(
    tables: Database, engine_path: Path, caplog: Any
) -> None:
    """It is logged with its stack and counted, and the round does not count as a good one."""
    fills = [fill(number, number * 60_000_000) for number in range(1, 6)]
    store(tables, [*fills, *(replace(one, symbol="C/D") for one in fills)])
    rules = {"A/B": (BarRule("lunar", Decimal(2)),), "C/D": parse_rules(["tick 2"])}
    thread = BarThread(settings(tables, engine_path), Instruments({}, bars={"x": rules}))
    failures = measured("candlewax_bar_failures_total")
    last_round = measured("candlewax_last_bar_round_timestamp_seconds")
    thread.run_once()
    thread.run_once()
    assert measured("candlewax_bar_failures_total") - failures == 2
    assert measured("candlewax_last_bar_round_timestamp_seconds") == last_round
    assert caplog.text.count("bars of x A/B were not made, it is tried again: ") == 1
    assert "Traceback" in caplog.text
    assert count(tables) == 3
    thread.end()


def test_thresholds_of_a_changed_file_are_taken_up(
    tables: Database, engine_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if no market had any; those of other exchanges are no matter of this process."""
    path = tmp_path / "instruments.toml"
    market = '[binance.also]\nBTCUSDT = "BTC/USDT"\n'
    path.write_text(market)
    where = replace(settings(tables, engine_path), instruments=path)
    process = ProcessContext(load(path), ("binance",), Counters())
    thread = bars_beside(where, process, ["binance"])
    reloading = InstrumentsReload(where, process)
    thread.begin()
    assert not is_running()
    caplog.set_level(logging.INFO, "candlewax")
    path.write_text(
        f'{market}[binance.bars]\n"BTC/USDT" = ["tick 2"]\n'
        '[kraken.also]\n"ETH/USD" = "ETH/USD"\n[kraken.bars]\n"ETH/USD" = ["tick 9"]\n'
    )
    reloading.take_up()
    assert is_running()
    assert "bars: binance BTC/USDT: tick 2 is made from now on" in caplog.messages
    path.write_text(f'{market}[binance.bars]\n"BTC/USDT" = ["tick 3"]\n')
    reloading.take_up()
    text = "binance BTC/USDT: tick 2 is made no more, what is stored stays"
    assert f"bars: binance BTC/USDT: tick 3 is made from now on; {text}" in caplog.messages
    fills = [fill(number, number * 60_000_000) for number in range(1, 8)]
    store(tables, [replace(one, exchange="binance", symbol="BTC/USDT") for one in fills])
    thread.end()
    # A round with the old thresholds may just have been under way.
    rows = tables.query("SELECT DISTINCT exchange, threshold FROM bars").rows()
    assert ("binance", Decimal(3)) in rows
    assert set(rows) <= {("binance", Decimal(2)), ("binance", Decimal(3))}


def is_running() -> bool:
    """Return whether the thread of this process runs."""
    return any(thread.name == "bars" for thread in threading.enumerate())
