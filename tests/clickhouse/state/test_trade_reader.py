"""What is known of contradictions, as it is read from the tables."""

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
"""symbol, number, when the stored trade and the other one happened, and days of the insert."""


def store(tables: Database, rows: list[Row], exchange: str = "binance") -> None:
    """Contradictions, as they may have been stored by any process."""
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
    """Symbols and minutes since the start."""
    return sorted((symbol, (time - ZERO) // MINUTE) for symbol, time in found.rows())


def test_contradicted_minutes_are_read_once_each(tables: Database) -> None:
    """However many contradictions they hold; of an unknown trade nothing is said."""
    store(tables, [("A/B", n, n, 60 + n, 0) for n in range(1, 50)] + [("C/D", 1, None, 3600, 0)])
    store(tables, [("E/F", 1, 0, 0, 0)], "kraken")
    found = StateLoader(tables).trade_reader.read_contradicted_minutes("binance")
    assert minutes(found) == [("A/B", 0), ("A/B", 1), ("C/D", 60)]


def test_what_was_stored_since_is_read_and_what_was_long_before_is_not(tables: Database) -> None:
    """A day is looked back, as the database's clock may have been set meanwhile."""
    trades = StateLoader(tables).trade_reader
    store(tables, [("A/B", 1, 0, 0, 0), ("A/B", 2, 60, 60, 10)])
    assert minutes(trades.read_contradicted_minutes("binance")) == [("A/B", 0), ("A/B", 1)]
    store(tables, [("A/B", 3, 120, 120, 9)])
    assert minutes(trades.read_contradicted_minutes("binance")) == [("A/B", 1), ("A/B", 2)]
    assert minutes(trades.read_contradicted_minutes("kraken")) == []


@pytest.mark.parametrize("count", [10, 10_000])
def test_memory_of_contradictions_is_that_of_their_minutes(count: int) -> None:
    """A dump that was published corrected contradicts every trade of a day."""
    ledger = Deduplicator()
    for part in range(3):
        step = 3 * MINUTE // count
        ledger.add_contradictions(("A/B", ZERO + n * step + part) for n in range(count))
    assert sorted(ledger.contradicted_minutes) == [("A/B", ZERO + n * MINUTE) for n in range(3)]
    assert ledger.gap_state({}, pl.DataFrame()).contradicted_moments.rows() == sorted(
        ledger.contradicted_minutes
    )
