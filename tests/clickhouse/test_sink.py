"""The sink of the tables, and the early write of trades."""

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.sink import ClickHouseSink, EarlyTradeWriter
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.core.candles.certificate import CertificateInputs, Recertification
from candlewax.runtime.counters import Counters
from tests.support.batches import as_columns
from tests.support.writer_batches import batch, count


def write_early(writer: EarlyTradeWriter) -> tuple[Batch, Batch]:
    """Return a batch, and the rest of it after the early write."""
    whole = batch()
    (rest,) = as_columns([writer(whole)])
    return whole, rest


def test_early_writer_stores_trades_before_their_candles_exist(tables: Database) -> None:
    """The batch goes on to the candles with its trades, and without the stored tables."""
    store = Writer(tables, Counters(), background=True)
    whole, rest = write_early(EarlyTradeWriter(store, lambda _: True))
    store.flush()
    assert count(tables, "silver_trades") == count(tables, "bronze_frames") == 1
    assert rest.tables == {}
    assert rest.trades.equals(whole.trades)
    store.close()


def test_early_writer_stores_nothing_before_the_candles_have_loaded_their_state(
    tables: Database,
) -> None:
    """They load it from the tables, each exchange for itself."""
    store = Writer(tables, Counters(), background=True)
    exchanges: list[str] = []

    def has_started(early: Batch) -> bool:
        exchanges.append(early.exchange)
        return False

    whole, rest = write_early(EarlyTradeWriter(store, has_started))
    store.flush()
    assert count(tables, "silver_trades") == 0
    assert rest is whole
    assert exchanges == ["x"]
    store.close()


def test_snapshot_of_the_sink_covers_early_writes(tables: Database) -> None:
    """Each non-empty part of a batch is announced before it is stored, and reported after."""
    announced: list[Batch] = []
    stored: list[Batch] = []
    store = Writer(tables, Counters(), background=True, after=stored.extend)
    sink = ClickHouseSink(["x"], store, forward=announced.append)
    part = sink.build_part("", "x", None)
    _, rest = write_early(EarlyTradeWriter(store, lambda _: True, announced.append))
    part.write_batch([rest])
    part.snapshot()
    assert count(tables, "silver_trades") == 1
    part.write_batch([Batch("x", {"watermarks": _watermark()})])
    part.snapshot()
    assert count(tables, "watermarks") == 2
    assert [set(part_of_batch.tables) for part_of_batch in announced] == [
        {"watermarks", "silver_trades", "bronze_frames"},
        {"watermarks"},
    ]
    assert list(map(id, announced)) == list(map(id, stored))
    store.close()


def _watermark() -> Any:
    made: pl.DataFrame = batch().tables["watermarks"]
    return made


@pytest.mark.parametrize("recertifies", [True, False])
def test_batch_without_rows_is_written_only_if_it_recertifies(recertifies: bool) -> None:
    """All its rows were written early, or it had none."""
    written: list[Batch] = []
    writer: Any = SimpleNamespace(put=written.append)
    part = ClickHouseSink(["x"], writer).build_part("", "x", None)
    empty = Batch(
        "x", {}, recertify=Recertification(CertificateInputs(), 5) if recertifies else None
    )
    part.write_batch([empty])
    assert written == ([empty] if recertifies else [])
