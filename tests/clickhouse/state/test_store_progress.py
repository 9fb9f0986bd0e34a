"""What a process waits for while another one stores."""

import logging

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state import store_progress
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.runtime.counters import Counters
from tests.clickhouse.test_writer import batch


def sent(offset: int) -> pl.DataFrame:
    """A trade that was sent, from this place."""
    return (
        batch(offset).tables["silver_trades"].with_columns(source_offset=pl.lit(offset, pl.UInt64))
    )


def store(tables: Database, offset: int) -> None:
    writer = Writer(tables, Counters(), background=False)
    made = batch(offset)
    made.tables["silver_trades"] = sent(offset)
    writer.put(made)
    writer.flush()


def test_late_trades_are_waited_for(tables: Database) -> None:
    """Or a candle computed anew would lack those that were sent just before them."""
    to_come = [1, 2, 3, 4]
    known = StateLoader(
        tables, has_concurrent_writer=True, wait=lambda _: store(tables, to_come.pop(0))
    )
    late = pl.concat([sent(3), sent(2)])
    known.wait_until_stored("x", late)
    stored = tables.query("SELECT max(source_offset) FROM silver_trades").item()
    assert stored >= 3
    left = len(to_come)
    known.wait_until_stored("x", late)
    assert len(to_come) == left


def test_what_is_never_stored_is_not_waited_for_always(
    tables: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told."""
    monkeypatch.setattr(store_progress, "_TIMEOUT_S", 0.3)
    waits: list[float] = []
    with caplog.at_level(logging.WARNING):
        known = StateLoader(tables, has_concurrent_writer=True, wait=waits.append)
        known.wait_until_stored("x", sent(1))
        assert "not stored" in caplog.text
        assert waits
        caplog.clear()
        waits.clear()
        known.wait_until_stored("x", sent(1))
    assert not caplog.text
    assert not waits


def test_one_process_waits_for_nobody(tables: Database) -> None:
    """It stores trades before candles itself."""
    StateLoader(tables, wait=lambda _: pytest.fail("waited")).wait_until_stored("x", sent(1))
