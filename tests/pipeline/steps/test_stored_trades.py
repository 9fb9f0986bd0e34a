"""Candles of trades that another process stores: rows and columns give the same tables."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from candlewax.core.batch import Batch
from candlewax.core.candles.certificate import CANDLE_KEY
from candlewax.core.candles.open_candles import EMPTY
from candlewax.core.gaps.gap_state import MOMENTS
from candlewax.core.gaps.market_outages import MarketOutages
from candlewax.core.rows.columns import batch_columns
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.schema import empty
from candlewax.core.snapshots import Snapshot
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.kafka.trade_messages import MessageValues
from candlewax.pipeline.steps import route
from candlewax.pipeline.steps.candles import CandleStep
from candlewax.pipeline.steps.deduplicate import DeduplicateStep
from candlewax.pipeline.steps.route import ReadTradesStep
from candlewax.runtime.counters import Counters
from tests.support.trade_messages import trade

EXCHANGE: Final = "binance"
BEGIN: Final = 1_750_000_000_000_000
MINUTE: Final = 60_000_000
KEY: Final = list(CANDLE_KEY)


class Loader:
    """State loader over empty tables, with a contradiction from the third read on."""

    def __init__(self) -> None:
        self.started: set[str] = set()
        self.reads = 0
        self.trade_reader = SimpleNamespace(read_contradicted_minutes=self._contradictions)
        self.gap_reader = SimpleNamespace(is_down=lambda *_: False)

    def _contradictions(self, _: str) -> pl.DataFrame:
        self.reads += 1
        rows = [("A/B", BEGIN + MINUTE)] if self.reads > 2 else []
        return pl.DataFrame(rows, MOMENTS, orient="row")

    def for_shard(self, _: object) -> "Loader":
        return self

    def load_deduplicator(self, _: str) -> Deduplicator:
        return Deduplicator()

    def load_market_outages(self, _: str) -> MarketOutages:
        return MarketOutages()

    def load_open_candles(self, _: str) -> Any:
        return EMPTY

    def find_stale_windows(self, *_: object) -> pl.DataFrame:
        return empty(CANDLE_KEY)

    def mark_started(self, exchange: str) -> None:
        self.started.add(exchange)


class Process:
    """Steps of `ohlcv` behind a broker, restored from snapshots if given."""

    def __init__(self, limit: int, snapshots: Sequence[Snapshot | None] = (None, None)) -> None:
        loader: Any = Loader()
        self.loader, self.counters, self.limit = loader, Counters(), limit
        self.read = ReadTradesStep([EXCHANGE])
        self.deduplicate = DeduplicateStep(loader, self.counters, snapshots[0], stores=False)
        self.candles = CandleStep(loader, self.counters, snapshots[1])

    def add(self, values: list[bytes]) -> list[Any]:
        with mock.patch.object(route, "SMALL_BATCH_ROWS", self.limit):
            decoded = self.read(MessageValues("t", 0, list(range(len(values))), values))
        ((_, one),) = decoded
        batches, _ = self.deduplicate.on_batch([one])
        found, _ = self.candles.on_batch(list(batches))
        return list(found)

    def snapshots(self) -> tuple[Snapshot | None, Snapshot | None]:
        return self.deduplicate.snapshot(), self.candles.snapshot()


STEPS: Final = st.tuples(
    st.sampled_from(["A/B", "C/D"]),
    st.sampled_from([1, 1, 1, 1, 1, 1, 0, 3, None]),
    st.sampled_from([0, 1, 1, 40_000_000, -50_000_000, 4_000_000_000]),
    st.fixed_dictionaries(
        {},
        optional={
            "side": st.sampled_from(["BUY", "SELL"]),
            "price": st.sampled_from(["1", "2.5", "0.000000000001"]),
            "conditions": st.sampled_from([[], ["ADL"]]),
            "via": st.sampled_from(["websocket", "rest"]),
            "outages": st.sampled_from([None, [[BEGIN, BEGIN + 5_000_000]]]),
        },
    ),
)
"""Symbol, step of its number (None: unnumbered), step of the time, and other fields."""


def messages(batches: list[list[Any]]) -> list[list[bytes]]:
    """Return batches of messages; numbers and times continue from batch to batch."""
    numbers, time, result = {"A/B": 5, "C/D": 5}, BEGIN, []
    for place, steps in enumerate(batches):
        values = []
        for index, (symbol, step, later, more) in enumerate(steps):
            numbers[symbol] += step or 0
            number = 0 if step is None else numbers[symbol]
            time = max(BEGIN, time + later)
            values.append(
                trade(
                    exchange=EXCHANGE, symbol=symbol, sequence=number, trade_id=str(number),
                    timestamp=time, received_at=time, source_offset=place, source_index=index,
                    **more,
                )
            )  # fmt: skip
        result.append([json.dumps(value).encode() for value in values])
    return result


def as_batch(batch: Any) -> Batch:
    return batch_columns([batch]) if isinstance(batch, RowBatch) else batch


def rows(batch: Batch, table: str) -> pl.DataFrame | None:
    """Return the rows of a table in the order of their keys, None for an empty one."""
    found = batch.tables.get(table)
    if found is None or found.is_empty():
        return None
    return found.sort(KEY) if table == "ohlcv" else found


@given(st.lists(st.lists(STEPS, min_size=1, max_size=6), max_size=6), st.integers(0, 6))
def test_rows_and_columns_give_the_same_candles(batches: list[list[Any]], restart: int) -> None:
    """Batch by batch, across a restart from snapshots. Trades are not stored again."""
    by_rows, by_columns = Process(500), Process(-1)
    for place, values in enumerate(messages(batches)):
        if place == restart:
            by_rows = Process(500, by_rows.snapshots())
            by_columns = Process(-1, by_columns.snapshots())
        (found,), (expected,) = by_rows.add(values), by_columns.add(values)
        batch = as_batch(found)
        assert {"ohlcv", "watermarks", "dead_letters"} >= set(batch.tables)
        for table in ("ohlcv", "watermarks"):
            one, other = rows(batch, table), rows(expected, table)
            assert (one is None) == (other is None), table
            if one is not None and other is not None:
                assert_frame_equal(one, other.select(one.columns), check_column_order=False)
        assert_frame_equal(batch.trades, expected.trades.select(batch.trades.columns))
        assert batch.watermark == expected.watermark
        assert_frame_equal(batch.stale_windows.sort(KEY), expected.stale_windows.sort(KEY))
        assert_frame_equal(batch.late_trades, expected.late_trades)
        assert (batch.recertify is None) == (expected.recertify is None)
        if batch.recertify and expected.recertify:
            assert batch.recertify.until_us == expected.recertify.until_us
            spans = [each.spans.sort(pl.all()) for each in (batch.recertify, expected.recertify)]
            assert_frame_equal(*spans)
    assert by_rows.loader.started == by_columns.loader.started
    assert by_rows.loader.reads == by_columns.loader.reads
    names = ("trades", "duplicates", "late", "out_of_order", "recomputed")
    for name in names:
        assert by_rows.counters.total(name) == by_columns.counters.total(name), name


def test_consecutive_trades_stay_rows() -> None:
    """Only the first batch of a market, which opens its range, becomes columns."""
    process = Process(500)
    moves: list[list[Any]] = [[("A/B", 1, 1, {})] for _ in range(4)]
    found = [process.add(values)[0] for values in messages(moves)]
    assert [isinstance(batch, RowBatch) for batch in found] == [False, True, True, True]
    assert all(batch.rows == len(batch.candles) == 6 for batch in found[1:])
    batch = batch_columns(found[1:])
    assert set(batch.tables) == {"ohlcv"}
    assert batch.tables["ohlcv"].height == 6


def test_rows_after_a_restart_mark_the_exchange_as_started() -> None:
    """From then on recomputation counts trades that were stored since the restart."""
    process = Process(500)
    moves: list[list[Any]] = [[("A/B", 1, 1, {})] for _ in range(4)]
    *first, last = messages(moves)
    for values in first:
        process.add(values)
    again = Process(500, process.snapshots())
    assert isinstance(again.add(last)[0], RowBatch)
    assert again.loader.started == {EXCHANGE}
