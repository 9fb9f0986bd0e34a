"""The writer: order, blocks, failures."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from candlewax.clickhouse import ddl, writer
from candlewax.clickhouse.block_store import ORDER
from candlewax.clickhouse.client import RETRIES, Database
from candlewax.clickhouse.frame_journal import FrameJournal
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.core.candles import open_candles
from candlewax.core.candles.certificate import CertificateInputs
from candlewax.core.candles.rows import candle_rows, watermark_rows
from candlewax.runtime.counters import Counters
from tests.support.candles import DAY, table
from tests.support.decoding import read
from tests.support.verified_tables import TRADES


def batch(offset: int = 0) -> Batch:
    """One frame and its trade, late by some days."""
    bronze = read("binance", "x", recv_ns=(DAY + offset * 86_400_000_000) * 1000).bronze
    names = {name: pl.lit("n").cast(pl.Categorical) for name in ("native_symbol", "base", "quote")}
    trades = table(TRADES[:1]).with_columns(
        pl.col("timestamp") + timedelta(days=offset),
        received_at="timestamp",
        source=pl.lit("c"),
        source_partition=pl.lit(0, pl.UInt32),
        **names,
    )
    return Batch(
        "x",
        {"watermarks": watermark_rows("x", 5), "silver_trades": trades, "bronze_frames": bronze},
    )


def count(tables: Database, table: str) -> Any:
    return tables.query(f"SELECT count() FROM {table}").item()


def test_a_table_older_than_a_column_gets_it(tables: Database) -> None:
    """And its trades came over a websocket; again, nothing changes."""
    tables.client.command("ALTER TABLE silver_trades DROP COLUMN via")
    tables.client.command("INSERT INTO silver_trades (trade_id) VALUES ('old')")
    for _ in range(2):
        ddl.apply(tables.client)
    store = Writer(tables, Counters(), background=False)
    made = batch()
    rest = made.tables["silver_trades"].with_columns(via=pl.lit(2, pl.Int8))
    store.put(replace(made, tables={"silver_trades": rest}))
    store.flush()
    found = tables.query("SELECT toString(via) AS via FROM silver_trades ORDER BY trade_id = 'old'")
    assert found["via"].to_list() == ["rest", "websocket"]


@pytest.mark.parametrize("background", [True, False])
def test_what_is_flushed_is_stored(tables: Database, background: bool) -> None:
    """In the background and in place."""
    store = Writer(tables, Counters(), background=background)
    store.put(batch())
    store.put(batch(1))
    store.flush()
    assert count(tables, "silver_trades") == count(tables, "bronze_frames") == 2
    store.flush()
    store.close()


def test_writer_with_an_interval_stores_few_rows_only_when_flushed(
    tables: Database, tmp_path: Path
) -> None:
    """Until then their frames are in the journal."""
    journal = FrameJournal(tmp_path)
    store = Writer(tables, Counters(), background=True, interval_s=3600, journal=journal)
    store.put(batch())
    store.put(batch(1))
    assert not store.is_backlogged
    assert count(tables, "bronze_frames") == 0
    assert FrameJournal(tmp_path).read_left_over().height == 2
    store.flush()
    assert count(tables, "bronze_frames") == 2
    assert FrameJournal(tmp_path).read_left_over().height == 0
    store.put(batch(2))
    store.flush(60)
    assert count(tables, "bronze_frames") == 3
    store.close()


def test_flush_waits_no_longer_than_asked(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query is answered also while nothing can be stored."""
    goes_on = threading.Event()
    monkeypatch.setattr(Database, "insert", lambda *_: goes_on.wait())
    store = Writer(tables, Counters(), background=True, interval_s=3600)
    store.put(batch())
    store.flush(0.01)
    assert count(tables, "bronze_frames") == 0
    goes_on.set()
    store.flush()
    store.close()


def test_tables_are_written_in_their_order(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames before trades before watermarks, whatever the order in the batch."""
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
"""As docs/architecture.md gives the order, and why."""


def test_all_tables_are_written_in_the_order_of_the_page(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is stored last, no table claims more than those before it hold."""
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


def test_candle_that_several_batches_changed_is_written_as_it_was_last(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, in one insert."""
    written: list[list[int]] = []

    def note(_: Database, table: str, rows: Any, *__: object) -> None:
        if table == "ohlcv":
            written.append(rows["trade_count"].to_pylist())

    monkeypatch.setattr(Database, "insert", note)
    store = Writer(tables, Counters(), background=False)
    for count in (1, 3, 2):
        changed = candles(closed=False).with_columns(trade_count=pl.lit(count, pl.UInt64))
        store.put(Batch("x", {"ohlcv": changed}))
    store.flush()
    assert written == [[2] * 6]


def test_more_days_than_an_insert_may_touch_are_split(tables: Database) -> None:
    """Two hundred and fifty days of trades in one go."""
    store = Writer(tables, Counters(), background=False)
    for day in range(250):
        store.put(batch(day))
    store.flush()
    assert count(tables, "silver_trades") == 250


def candles(closed: bool) -> pl.DataFrame:
    """A row of `ohlcv`."""
    update = open_candles.apply_trades(open_candles.EMPTY, table(TRADES[:1]), 0)
    mark = DAY + 86_400_000_000 if closed else 0
    return candle_rows("x", update.changed, mark, CertificateInputs())


def test_closed_candles_are_kept_with_all_their_versions(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that come together in one insert, before the candles themselves; none where no
    candle is closed.
    """
    order: list[str] = []
    insert = Database.insert

    def noted(self: Database, table: str, *rest: Any) -> None:
        order.append(table)
        insert(self, table, *rest)

    monkeypatch.setattr(Database, "insert", noted)
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


def test_a_failure_is_raised_by_the_next_call(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never passes silently, and what failed is its cause. Nobody is to wait meanwhile."""

    def fail(*_: object) -> None:
        raise ValueError("disk full")

    monkeypatch.setattr(Database, "insert", fail)
    store = Writer(tables, Counters(), background=True)
    store.put(batch())
    with pytest.raises(RuntimeError) as error:
        store.flush()
    assert "disk full" in str(error.value.__cause__)
    assert not store.is_backlogged
    with pytest.raises(RuntimeError):
        store.put(batch())
    store.close()


def test_a_server_out_of_reach_is_tried_again_with_the_same_token(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a block that did arrive is not stored twice."""
    tokens: list[str] = []
    insert = Database.insert

    def flaky(self: Database, table: str, rows: Any, token: str) -> None:
        tokens.append(token)
        insert(self, table, rows, token)
        if len(tokens) < 3:
            raise OperationalError("connection lost")

    monkeypatch.setattr(Database, "insert", flaky)
    waits: list[float] = []
    store = Writer(tables, Counters(), background=False, wait=waits.append)
    store.put(batch())
    store.flush()
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]
    assert waits == list(RETRIES[:2])
    assert tables.query("SELECT count() FROM bronze_frames").item() == 1


def test_a_server_that_stays_away_ends_the_run(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all tries the error is raised."""

    def away(*_: object) -> None:
        raise OperationalError("no route")

    monkeypatch.setattr(Database, "insert", away)
    waits: list[float] = []
    store = Writer(tables, Counters(), background=False, wait=waits.append)
    store.put(batch())
    with pytest.raises(OperationalError):
        store.flush()
    assert waits == list(RETRIES)


def test_blocks_are_stored_once_they_are_large(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for a flush."""
    monkeypatch.setattr(writer, "BLOCK_ROWS", 3)
    store = Writer(tables, Counters(), background=False)
    store.put(batch())
    assert count(tables, "silver_trades") == 1


class Slowly:
    """Inserts that wait until they are let go on, one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._insert = Database.insert
        self._begun, self._go_on = threading.Semaphore(0), threading.Semaphore(0)

        def slowly(*arguments: Any) -> None:
            self._begun.release()
            assert self._go_on.acquire(timeout=30)
            self._insert(*arguments)

        monkeypatch.setattr(Database, "insert", slowly)

    def begins(self) -> None:
        """The next insert has begun."""
        assert self._begun.acquire(timeout=30)

    def go_on(self, inserts: int = 1) -> None:
        self._go_on.release(inserts)


def test_flush_waits_for_what_is_being_stored(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing else waits any more; here it goes on once the flush waits for it."""
    inserts = Slowly(monkeypatch)
    store = Writer(tables, Counters(), background=True)
    store.put(batch())
    inserts.begins()
    wait_for = store._signal.wait_for  # noqa: SLF001 - the moment in which it waits

    def let_go(predicate: Any, timeout: float | None = None) -> object:
        if threading.current_thread() is threading.main_thread() and not predicate():
            inserts.go_on(100)
        return wait_for(predicate, timeout)

    monkeypatch.setattr(store._signal, "wait_for", let_go)  # noqa: SLF001 - as above
    store.flush()
    stored = [count(tables, table) for table in ("bronze_frames", "silver_trades", "watermarks")]
    inserts.go_on(100)
    store.close()
    assert stored == [1, 1, 1]


def test_it_is_behind_until_the_last_of_a_few_rows_is_on_its_way(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed over by then is stored next; not while others wait already."""
    inserts = Slowly(monkeypatch)
    store = Writer(tables, Counters(), background=True)
    told = [store.is_backlogged]
    store.put(batch())
    for _ in ("bronze_frames", "silver_trades", "watermarks"):
        inserts.begins()
        told.append(store.is_backlogged)
        inserts.go_on()
    assert told == [False, True, True, False]
    inserts.go_on(100)
    store.flush()
    assert not store.is_backlogged
    store.close()


def test_it_is_behind_while_a_few_rows_wait_for_others(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when those that wait are a block of their own."""
    inserts = Slowly(monkeypatch)
    monkeypatch.setattr(writer, "SMALL_BATCH_ROWS", 2)
    store = Writer(tables, Counters(), background=True)
    store.put(batch())
    inserts.begins()
    told = [store.is_backlogged]
    store.put(replace(batch(1), tables={"silver_trades": batch(1).tables["silver_trades"]}))
    told.append(store.is_backlogged)
    store.put(batch(2))
    told.append(store.is_backlogged)
    inserts.go_on(100)
    store.flush()
    store.close()
    assert told == [False, True, False]
