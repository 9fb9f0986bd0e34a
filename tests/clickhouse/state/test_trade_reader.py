"""Contradictions read from the tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.trades.deduplicator import Deduplicator

MINUTE = 60_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)
ZERO = int(START.timestamp()) * 1_000_000

Row = tuple[str, int, int | None, int, int]
"""Symbol, number, seconds of the stored trade and of the other one, and day of the insert."""


def store(tables: Database, rows: list[Row], exchange: str = "binance") -> None:
    """Store contradictions."""
    names = ("exchange", "symbol", "sequence", "stored_timestamp", "timestamp", "inserted_at")
    zero = {"stored_price": 1, "stored_quantity": 1, "price": 2, "quantity": 1}
    same: dict[str, Any] = {"stored_side": "BUY", "side": "BUY", **zero}
    data = [
        [exchange, symbol, number, at(was), at(came), START + timedelta(days=day), *same.values()]
        for symbol, number, was, came, day in rows
    ]
    tables.client.insert("contradictions", data, column_names=[*names, *same])


def at(seconds: int | None) -> datetime:
    return (
        datetime(1970, 1, 1, tzinfo=UTC) if seconds is None else START + timedelta(seconds=seconds)
    )


def minutes(found: pl.DataFrame) -> list[tuple[str, int]]:
    """Return symbols and minutes since the start."""
    return sorted((symbol, (time - ZERO) // MINUTE) for symbol, time in found.rows())


def test_each_contradicted_minute_is_read_once(tables: Database) -> None:
    """However many contradictions it holds. The minute of an unknown stored trade is omitted."""
    store(tables, [("A/B", n, n, 60 + n, 0) for n in range(1, 50)] + [("C/D", 1, None, 3600, 0)])
    store(tables, [("E/F", 1, 0, 0, 0)], "kraken")
    contradicted = StateLoader(tables).trade_reader.read_contradicted_minutes("binance")
    assert minutes(contradicted) == [("A/B", 0), ("A/B", 1), ("C/D", 60)]


def test_reader_returns_contradictions_stored_since_its_last_read(tables: Database) -> None:
    """And those of a day before, as the clock of the database may have been set back."""
    reader = StateLoader(tables).trade_reader
    store(tables, [("A/B", 1, 0, 0, 0), ("A/B", 2, 60, 60, 10)])
    assert minutes(reader.read_contradicted_minutes("binance")) == [("A/B", 0), ("A/B", 1)]
    store(tables, [("A/B", 3, 120, 120, 9)])
    assert minutes(reader.read_contradicted_minutes("binance")) == [("A/B", 1), ("A/B", 2)]
    assert minutes(reader.read_contradicted_minutes("kraken")) == []


@pytest.mark.parametrize("count", [10, 10_000])
def test_deduplicator_keeps_only_the_minutes_of_contradictions(count: int) -> None:
    """A corrected dump contradicts every trade of a day."""
    deduplicator = Deduplicator()
    for part in range(3):
        step = 3 * MINUTE // count
        deduplicator.add_contradictions(("A/B", ZERO + n * step + part) for n in range(count))
    assert sorted(deduplicator.contradicted_minutes) == [
        ("A/B", ZERO + n * MINUTE) for n in range(3)
    ]
    assert deduplicator.gap_state({}, pl.DataFrame()).contradicted_moments.rows() == sorted(
        deduplicator.contradicted_minutes
    )
