"""Waiting for rows that another process stores."""

import logging

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state import store_progress
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.runtime.counters import Counters
from tests.support.writer_batches import batch


def sent_trade(offset: int) -> pl.DataFrame:
    """A trade sent from this offset."""
    return (
        batch(offset).tables["silver_trades"].with_columns(source_offset=pl.lit(offset, pl.UInt64))
    )


def store(tables: Database, offset: int) -> None:
    writer = Writer(tables, Counters(), background=False)
    made = batch(offset)
    made.tables["silver_trades"] = sent_trade(offset)
    writer.put(made)
    writer.flush()


def test_loader_waits_until_late_trades_are_stored(tables: Database) -> None:
    """Otherwise a recomputed candle would lack trades sent just before them."""
    to_come = [1, 2, 3, 4]
    loader = StateLoader(
        tables, has_concurrent_writer=True, wait=lambda _: store(tables, to_come.pop(0))
    )
    late = pl.concat([sent_trade(3), sent_trade(2)])
    loader.wait_until_stored("x", late)
    stored = tables.query("SELECT max(source_offset) FROM silver_trades").item()
    assert stored >= 3
    left_count = len(to_come)
    loader.wait_until_stored("x", late)
    assert len(to_come) == left_count


def test_loader_stops_waiting_after_a_timeout_and_warns_once(
    tables: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second wait for the same trades returns at once."""
    monkeypatch.setattr(store_progress, "_TIMEOUT_S", 0.3)
    waits: list[float] = []
    with caplog.at_level(logging.WARNING):
        loader = StateLoader(tables, has_concurrent_writer=True, wait=waits.append)
        loader.wait_until_stored("x", sent_trade(1))
        assert "not stored" in caplog.text
        assert waits
        caplog.clear()
        waits.clear()
        loader.wait_until_stored("x", sent_trade(1))
    assert not caplog.text
    assert not waits


def test_loader_without_a_concurrent_writer_does_not_wait(tables: Database) -> None:
    """The process itself stores trades before candles."""
    StateLoader(tables, wait=lambda _: pytest.fail("waited")).wait_until_stored("x", sent_trade(1))
