"""The writer: what is stored when, and failures."""

import threading
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from candlewax.clickhouse import ddl, writer
from candlewax.clickhouse.client import RETRIES, Database
from candlewax.clickhouse.writer import Writer
from candlewax.runtime.counters import Counters
from tests.support.writer_batches import batch, count


def test_added_column_is_created_in_an_existing_table(tables: Database) -> None:
    """Its trades count as received by websocket. Applying the DDL again changes nothing."""
    tables.client.command("ALTER TABLE silver_trades DROP COLUMN via")
    tables.client.command("INSERT INTO silver_trades (trade_id) VALUES ('old')")
    for _ in range(2):
        ddl.apply(tables.client)
    store = Writer(tables, Counters(), background=False)
    made = batch()
    by_rest = made.tables["silver_trades"].with_columns(via=pl.lit(2, pl.Int8))
    store.put(replace(made, tables={"silver_trades": by_rest}))
    store.flush()
    ways = tables.query("SELECT toString(via) AS via FROM silver_trades ORDER BY trade_id = 'old'")
    assert ways["via"].to_list() == ["rest", "websocket"]


@pytest.mark.parametrize("background", [True, False])
def test_flush_stores_all_rows(tables: Database, background: bool) -> None:
    """In the background and in the calling thread."""
    store = Writer(tables, Counters(), background=background)
    store.put(batch())
    store.put(batch(1))
    store.flush()
    assert count(tables, "silver_trades") == count(tables, "bronze_frames") == 2
    store.flush()
    store.close()


def test_flush_waits_no_longer_than_asked(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a query can be answered while inserts hang."""
    goes_on = threading.Event()
    monkeypatch.setattr(Database, "insert", lambda *_: goes_on.wait())
    store = Writer(tables, Counters(), background=True, interval_s=3600)
    store.put(batch())
    store.flush(0.01)
    assert count(tables, "bronze_frames") == 0
    goes_on.set()
    store.flush()
    store.close()


def test_rows_of_more_days_than_an_insert_may_touch_are_split(tables: Database) -> None:
    """Trades of 250 days at once."""
    store = Writer(tables, Counters(), background=False)
    for day in range(250):
        store.put(batch(day))
    store.flush()
    assert count(tables, "silver_trades") == 250


def test_failed_insert_is_raised_by_the_next_call(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the original error as its cause. A failed writer is not backlogged."""

    def fail(*_: object) -> None:
        raise ValueError("disk full")

    monkeypatch.setattr(Database, "insert", fail)
    store = Writer(tables, Counters(), background=True)
    store.put(batch())
    with pytest.raises(RuntimeError) as error:
        store.flush()
    assert "disk full" in str(error.value.__cause__)
    assert not store.is_backlogged()
    with pytest.raises(RuntimeError):
        store.put(batch())
    store.close()


def test_failed_insert_is_retried_with_the_same_token(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a block that arrived before the connection was lost is stored once."""
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


def test_server_that_stays_away_is_an_error(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all retries the error is raised."""

    def away(*_: object) -> None:
        raise OperationalError("no route")

    monkeypatch.setattr(Database, "insert", away)
    waits: list[float] = []
    store = Writer(tables, Counters(), background=False, wait=waits.append)
    store.put(batch())
    with pytest.raises(OperationalError):
        store.flush()
    assert waits == list(RETRIES)


def test_large_block_is_stored_at_once(tables: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a flush."""
    monkeypatch.setattr(writer, "BLOCK_ROWS", 3)
    store = Writer(tables, Counters(), background=False)
    store.put(batch())
    assert count(tables, "silver_trades") == 1


class HeldInserts:
    """Inserts that wait until the test lets them go on, one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._insert = Database.insert
        self._begun, self._go_on = threading.Semaphore(0), threading.Semaphore(0)

        def slowly(*arguments: Any) -> None:
            self._begun.release()
            assert self._go_on.acquire(timeout=30)
            self._insert(*arguments)

        monkeypatch.setattr(Database, "insert", slowly)

    def await_begin(self) -> None:
        """Wait until the next insert has begun."""
        assert self._begun.acquire(timeout=30)

    def go_on(self, inserts: int = 1) -> None:
        self._go_on.release(inserts)


def test_flush_waits_for_a_running_insert(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if no other rows wait. Here the insert goes on once the flush waits for it."""
    inserts = HeldInserts(monkeypatch)
    store = Writer(tables, Counters(), background=True)
    store.put(batch())
    inserts.await_begin()
    wait_for = store._signal.wait_for  # noqa: SLF001 - to know when it waits

    def wait_and_release(predicate: Any, timeout: float | None = None) -> object:
        if threading.current_thread() is threading.main_thread() and not predicate():
            inserts.go_on(100)
        return wait_for(predicate, timeout)

    monkeypatch.setattr(store._signal, "wait_for", wait_and_release)  # noqa: SLF001 - as above
    store.flush()
    stored = [count(tables, table) for table in ("bronze_frames", "silver_trades", "watermarks")]
    inserts.go_on(100)
    store.close()
    assert stored == [1, 1, 1]


def test_writer_is_backlogged_until_the_last_insert_of_a_small_batch_has_begun(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that arrives then is stored next."""
    inserts = HeldInserts(monkeypatch)
    store = Writer(tables, Counters(), background=True)
    backlogged = [store.is_backlogged()]
    store.put(batch())
    for _ in ("bronze_frames", "silver_trades", "watermarks"):
        inserts.await_begin()
        backlogged.append(store.is_backlogged())
        inserts.go_on()
    assert backlogged == [False, True, True, False]
    inserts.go_on(100)
    store.flush()
    assert not store.is_backlogged()
    store.close()


def test_writer_is_backlogged_while_a_small_batch_waits(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once the waiting rows make a block of their own."""
    inserts = HeldInserts(monkeypatch)
    monkeypatch.setattr(writer, "UNDELAYED_ROWS", 2)
    store = Writer(tables, Counters(), background=True)
    store.put(batch())
    inserts.await_begin()
    backlogged = [store.is_backlogged()]
    store.put(replace(batch(1), tables={"silver_trades": batch(1).tables["silver_trades"]}))
    backlogged.append(store.is_backlogged())
    store.put(batch(2))
    backlogged.append(store.is_backlogged())
    inserts.go_on(100)
    store.flush()
    store.close()
    assert backlogged == [False, True, False]
