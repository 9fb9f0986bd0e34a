"""The builders: of the whole pipeline in one process, and of writers behind a broker."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final

import pytest
from bytewax.testing import TestingSource

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.pipeline import builder
from candlewax.pipeline.builder import build_embedded
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from tests.support.playing import INSTRUMENTS
from tests.support.writer_batches import candle_batches


def test_batches_of_rows_are_announced_as_they_are_and_stored_as_columns(tables: Database) -> None:
    """Forming candles are announced although they are held back."""
    announced: list[AnyBatch] = []
    stored: list[Batch] = []
    process = ProcessContext(
        INSTRUMENTS, ("binance",), Counters(), is_live=True, is_replayable=False
    )
    idle: Any = TestingSource([])
    components = build_embedded(
        process, idle, tables, on_stored=stored.extend, before_store=announced.append
    )
    part = components.tables.build_part("", "binance", None)
    batches: list[AnyBatch] = list(candle_batches(0, 1))
    part.write_batch(batches)
    assert list(map(id, announced)) == list(map(id, batches))
    components.flush(60)
    # A batch for the trades, and one for the candles that the flush asked for.
    assert sum(batch.trades.height for batch in stored) == 2
    candles = [batch.tables["ohlcv"] for batch in stored if "ohlcv" in batch.tables]
    assert sum(rows.height for rows in candles) == 6


CONSUMERS: Final[dict[str, Callable[..., object]]] = {
    "silver": builder.build_silver,
    "tables": builder.build_tables,
    "ohlcv": builder.build_ohlcv,
}


class NotingWriter(Writer):
    """A writer that notes how long few rows wait, and if forming candles are held back."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.noted = options["interval_s"], options.get("holds_forming", False)


@pytest.mark.parametrize(
    ("name", "is_embedded", "linger", "expected"),
    [
        ("silver", False, None, (1.0, False)),
        ("ohlcv", False, None, (0.1, False)),
        ("tables", False, None, (0.1, False)),
        ("tables", True, None, (1.0, True)),
        ("silver", False, timedelta(seconds=3), (3.0, False)),
        ("ohlcv", False, timedelta(seconds=3), (3.0, False)),
        ("tables", True, timedelta(seconds=3), (3.0, True)),
    ],
)
def test_writers_behind_a_broker_store_few_rows_at_intervals(
    tables: Database, monkeypatch: pytest.MonkeyPatch, name: str, is_embedded: bool,
    linger: timedelta | None, expected: tuple[float, bool],
) -> None:  # fmt: skip
    """Candles in a server soonest; CANDLEWAX_LINGER_SECONDS changes the interval."""
    built: list[NotingWriter] = []

    def build(*arguments: Any, **options: Any) -> Writer:
        built.append(NotingWriter(*arguments, **options))
        return built[-1]

    monkeypatch.setattr(builder, "Writer", build)
    monkeypatch.setattr(Database, "is_embedded", is_embedded)
    process = ProcessContext(INSTRUMENTS, ("binance",), Counters(), max_wait=linger)
    broker = SimpleNamespace(partitions=lambda _: 1, topics=dict, producer=lambda _: None)
    CONSUMERS[name](process, broker, tables, SimpleNamespace(kind=""))
    (writer,) = built
    assert writer.noted == expected
    writer.close()
