"""FormingCandles: which rows are held back, and what they are stored with."""

from typing import Any

from candlewax.core.batch import Batch
from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.forming import FormingCandles
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.schema import empty


def row(symbol: str, start: int, trade_count: int, *, closed: bool = False) -> CandleRow:
    values: dict[str, Any] = dict.fromkeys(CandleRow._fields, 0)
    values |= {"symbol": symbol, "window_start": start, "trade_count": trade_count}
    return CandleRow(**values | {"closed": closed})


def batch(*candles: CandleRow, exchange: str = "kraken") -> RowBatch:
    return RowBatch(exchange, DecodedRows(exchange, []), candles=candles)


def candles(batches: list[Any]) -> list[list[CandleRow]]:
    return [list(each.candles) for each in batches]


def test_forming_rows_are_held_and_the_latest_of_each_candle_is_released_once() -> None:
    forming = FormingCandles()
    first, second = row("A/B", 0, 1), row("C/D", 0, 1)
    assert not forming
    assert candles(forming.hold([batch(first), batch(second)])) == [[], []]
    assert candles(forming.hold([batch(row("A/B", 0, 2))])) == [[]]
    assert forming
    assert candles(forming.release()) == [[row("A/B", 0, 2), second]]
    assert not forming
    assert forming.release() == []


def test_rows_of_an_exchange_are_stored_with_its_next_candle_that_closes() -> None:
    """Rows of another exchange stay held."""
    forming = FormingCandles()
    other = row("A/B", 0, 7)
    forming.hold([batch(row("A/B", 0, 1), row("C/D", 0, 1)), batch(other, exchange="binance")])
    closed = row("A/B", 0, 2, closed=True)
    stored = forming.hold([batch(closed, row("A/B", 60, 1))])
    assert candles(stored) == [[closed, row("C/D", 0, 1), row("A/B", 60, 1)]]
    assert candles(forming.release()) == [[other]]


def test_rows_are_stored_before_the_next_candles_that_are_columns() -> None:
    """A row stored after a later one of its candle would take its place."""
    forming = FormingCandles()
    forming.hold([batch(row("A/B", 0, 1))])
    without = Batch("kraken", {"bronze_frames": empty({})})
    assert forming.hold([without]) == [without]
    columns = Batch("kraken", {"ohlcv": empty({})})
    released, stored = forming.hold([columns])
    assert candles([released]) == [[row("A/B", 0, 1)]]
    assert stored is columns
    assert not forming


def test_batch_without_candles_passes_as_it_is() -> None:
    forming = FormingCandles()
    heartbeat = batch()
    assert forming.hold([heartbeat]) == [heartbeat]
    assert not forming
