"""The writer: the order of tables, and the rows of candles."""

from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.block_store import ORDER
from candlewax.clickhouse.client import Database
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.core.candles import open_candles
from candlewax.core.candles.certificate import CertificateInputs
from candlewax.core.candles.rows import candle_rows
from candlewax.runtime.counters import Counters
from tests.support.candles import DAY, table
from tests.support.verified_tables import TRADES
from tests.support.writer_batches import batch


def test_tables_are_written_in_the_order_of_the_writer(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames before trades before watermarks, for any order in the batch."""
    order: list[str] = []
    monkeypatch.setattr(Database, "insert", lambda _, table, *__: order.append(table))
    store = Writer(tables, Counters(), background=False)
    store.put(batch())
    store.flush()
    assert order == [name for name in ORDER if name in batch().tables]


EVERY_TABLE = [
    "outages", "market_outages", "bronze_frames", "contradictions", "dead_letters", "numberings",
    "silver_trades", "gaps", "ohlcv_revisions", "ohlcv", "watermarks",
]  # fmt: skip
"""The order of docs/architecture.md, which gives the reasons."""


def test_all_tables_are_written_in_the_documented_order(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill between two inserts no table depends on rows that are missing."""
    order: list[str] = []
    row = pl.DataFrame({"x": [1]})
    monkeypatch.setattr(Database, "insert", lambda _, table, *__: order.append(table))
    monkeypatch.setattr("candlewax.clickhouse.block_store.arrow.rows", lambda *_: row.to_arrow())
    filled = dict.fromkeys(reversed(EVERY_TABLE), row) | {"ohlcv": candles(closed=True)}
    del filled["ohlcv_revisions"]
    store = Writer(tables, Counters(), background=False)
    store.put(Batch("x", filled))
    store.flush()
    assert order == EVERY_TABLE


def test_candle_of_several_batches_is_written_once_with_its_last_row(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one insert."""
    written: list[list[int]] = []

    def record(_: Database, table: str, rows: Any, *__: object) -> None:
        if table == "ohlcv":
            written.append(rows["trade_count"].to_pylist())

    monkeypatch.setattr(Database, "insert", record)
    store = Writer(tables, Counters(), background=False)
    for count in (1, 3, 2):
        changed = candles(closed=False).with_columns(trade_count=pl.lit(count, pl.UInt64))
        store.put(Batch("x", {"ohlcv": changed}))
    store.flush()
    assert written == [[2] * 6]


def candles(closed: bool) -> pl.DataFrame:
    """The rows in `ohlcv` of one trade."""
    update = open_candles.apply_trades(open_candles.EMPTY, table(TRADES[:1]), 0)
    mark = DAY + 86_400_000_000 if closed else 0
    return candle_rows("x", update.changed, mark, CertificateInputs())


def test_each_version_of_a_closed_candle_is_stored_before_the_candle(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions of several batches are one insert. Forming candles have none."""
    order: list[str] = []
    insert = Database.insert

    def record(self: Database, table: str, *rest: Any) -> None:
        order.append(table)
        insert(self, table, *rest)

    monkeypatch.setattr(Database, "insert", record)
    store = Writer(tables, Counters(), background=False)
    store.put(Batch("x", {"ohlcv": candles(closed=False)}))
    store.flush()
    for _ in range(2):
        store.put(Batch("x", {"ohlcv": candles(closed=True)}))
        store.put(Batch("y", {"ohlcv": candles(closed=True).with_columns(exchange=pl.lit("y"))}))
        store.flush()
    assert order == ["ohlcv", *["ohlcv_revisions", "ohlcv"] * 2]
    rows = tables.query("SELECT exchange, toString(cause) FROM ohlcv_revisions FINAL").rows()
    assert sorted(rows) == [("x", "closed")] * 6 + [("y", "closed")] * 6
