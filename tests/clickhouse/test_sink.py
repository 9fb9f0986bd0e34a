"""The sink of the tables, and what goes ahead of it."""

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
from tests.clickhouse.test_writer import batch, count
from tests.support.batches import as_columns


def split(first: EarlyTradeWriter) -> tuple[Batch, Batch]:
    """A batch, and what is left of it for candles."""
    whole = batch()
    (left,) = as_columns([first(whole)])
    return whole, left


def test_trades_are_stored_while_their_candles_are_made(tables: Database) -> None:
    """What candles are made of goes on, without what is handed over already."""
    store = Writer(tables, Counters(), background=True)
    whole, left = split(EarlyTradeWriter(store, lambda _: True))
    store.flush()
    assert count(tables, "silver_trades") == count(tables, "bronze_frames") == 1
    assert left.tables == {}
    assert left.trades.equals(whole.trades)
    store.close()


def test_nothing_goes_ahead_of_candles_that_have_not_begun(tables: Database) -> None:
    """They begin with what is stored; each exchange for itself."""
    store = Writer(tables, Counters(), background=True)
    asked: list[str] = []

    def begun(exchange: str) -> bool:
        asked.append(exchange)
        return False

    whole, left = split(EarlyTradeWriter(store, begun))
    store.flush()
    assert count(tables, "silver_trades") == 0
    assert left is whole
    assert asked == ["x"]
    store.close()


def test_a_snapshot_covers_what_went_ahead(tables: Database) -> None:
    """And each half of a batch is told before it is stored and when it is, if there is
    anything in it.
    """
    told: list[Batch] = []
    stored: list[Batch] = []
    store = Writer(tables, Counters(), background=True, after=stored.extend)
    sink = ClickHouseSink(["x"], store, forward=told.append)
    part = sink.build_part("", "x", None)
    _, left = split(EarlyTradeWriter(store, lambda _: True, told.append))
    part.write_batch([left])
    part.snapshot()
    assert count(tables, "silver_trades") == 1
    part.write_batch([Batch("x", {"watermarks": _watermark()})])
    part.snapshot()
    assert count(tables, "watermarks") == 2
    assert [set(one.tables) for one in told] == [
        {"watermarks", "silver_trades", "bronze_frames"},
        {"watermarks"},
    ]
    assert list(map(id, told)) == list(map(id, stored))
    store.close()


def _watermark() -> Any:
    made: pl.DataFrame = batch().tables["watermarks"]
    return made


@pytest.mark.parametrize("news", [True, False])
def test_batch_that_only_tells_of_certificates_is_handed_over(news: bool) -> None:
    """All its rows went ahead, or it never had any; one that tells nothing is not."""
    taken: list[Batch] = []
    writer: Any = SimpleNamespace(put=taken.append)
    part = ClickHouseSink(["x"], writer).build_part("", "x", None)
    one = Batch("x", {}, recertify=Recertification(CertificateInputs(), 5) if news else None)
    part.write_batch([one])
    assert taken == ([one] if news else [])
