"""The queue of batches between the writing thread and the serving thread."""

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.batch import Batch
from candlewax.core.rows.columns import merge_rows
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.row_batch import RowBatch
from candlewax.web.stream.batch_queue import MOST_ANNOUNCED, BatchQueue
from tests.support.announced_rows import trade_row


def batch(number: int, rows: int = 1) -> Batch:
    return Batch("x", {"ohlcv": pl.DataFrame({"n": [number] * rows})})


def of_trades(count: int) -> Batch:
    trades = pl.DataFrame({"n": [0] * count})
    return Batch("x", {"silver_trades": trades}, trades)


class RowsOfTrades:
    """A batch of rows with so many trades."""

    def __init__(self, exchange: str, count: int) -> None:
        self.exchange, self.count = exchange, count
        trades = [trade_row(number) for number in range(count)]
        self.batch = RowBatch(exchange, DecodedRows(exchange, [], trades=trades))


def numbers(queue: BatchQueue) -> list[int]:
    return [batch.tables["ohlcv"]["n"][0] for _, batch in queue.drain().batches]


def test_drain_returns_each_batch_once_in_order() -> None:
    queue = BatchQueue()
    queue.put([batch(1), batch(2)])
    queue.put([batch(3)])
    assert numbers(queue) == [1, 2, 3]
    assert numbers(queue) == []


def test_full_queue_drops_its_oldest_batches() -> None:
    """The next drain reports it, once."""
    queue = BatchQueue(most_rows=3)
    for number in range(10):
        queue.put([batch(number)])
    drained = queue.drain()
    assert drained.has_dropped
    assert [kept.tables["ohlcv"]["n"][0] for _, kept in drained.batches] == [7, 8, 9]
    queue.put([batch(10)])
    assert not queue.drain().has_dropped


def test_batch_larger_than_the_queue_is_dropped() -> None:
    """The writer never waits for space."""
    queue = BatchQueue(most_rows=3)
    queue.put([batch(0, rows=4)])
    drained = queue.drain()
    assert (list(drained.batches), drained.has_dropped) == ([], True)


def test_listener_is_woken_once_between_drains() -> None:
    """Not for each batch."""
    queue, woken = BatchQueue(), []
    queue.listen(lambda: woken.append(1))
    for number in range(3):
        queue.put([batch(number)])
    assert len(woken) == 1
    queue.drain()
    queue.put([batch(3)])
    assert len(woken) == 2


def test_listener_is_woken_by_the_batch_it_awaits() -> None:
    """Batches before it are drained with it. The check is told whether a batch was announced."""
    queue, awaited, other = BatchQueue(), batch(1), batch(2)
    woken: list[tuple[Batch, bool]] = []
    checked: list[tuple[Batch, bool]] = []

    def is_awaited(*arguments: Any) -> bool:
        checked.append(arguments)
        return bool(arguments[1])

    queue.listen(lambda: woken.append(checked[-1]), is_awaited)
    queue.announce(awaited)
    queue.put([other])
    assert woken == []
    queue.put_announced([awaited])
    assert woken == [(awaited, True)]
    assert checked == [(awaited, False), (other, False), (awaited, True)]
    assert [stored for _, stored in queue.drain().batches] == [other, awaited]


def test_announced_batch_is_unstored_until_its_trades_are() -> None:
    """It is drained once as announced and once as stored."""
    queue, arriving, other = BatchQueue(), of_trades(1), batch(2)
    queue.announce(arriving)
    drained = queue.drain()
    assert (drained.announced, drained.unstored) == ([arriving], [arriving])
    assert queue.drain().unstored == [arriving]
    queue.put_announced([arriving])
    queue.put([other])
    drained = queue.drain()
    assert [stored for _, stored in drained.batches] == [arriving, other]
    assert (drained.announced, drained.unannounced, drained.unstored) == ([], [other], [])


@given(st.data())
def test_unstored_batches_are_those_of_whose_exchange_fewer_trades_were_stored(
    data: st.DataObject,
) -> None:
    """Batches of rows are stored as one of columns, those of different exchanges in any order."""
    queue = BatchQueue()
    sizes = st.tuples(st.sampled_from("xyz"), st.integers(0, 3))
    announced = [RowsOfTrades(*drawn) for drawn in data.draw(st.lists(sizes, max_size=20))]
    for each in announced:
        queue.announce(each.batch)
    stored = {name: data.draw(st.integers(0, 20)) for name in "xyz"}
    for name in data.draw(st.permutations("xyz")):
        rows = [each.batch for each in announced if each.exchange == name][: stored[name]]
        queue.put_announced(merge_rows(rows))
    expected = []
    for each in announced:
        stored[each.exchange] -= 1
        if stored[each.exchange] < 0 and each.count:
            expected.append(each.batch)
    assert queue.drain().unstored == expected


def test_reader_is_told_that_announced_batches_were_dropped() -> None:
    """Their trades and forming candles would never be sent."""
    queue = BatchQueue()
    for number in range(MOST_ANNOUNCED):
        queue.announce(batch(number))
    queue.announce(batch(MOST_ANNOUNCED))
    drained = queue.drain()
    assert (len(drained.announced), drained.has_dropped) == (MOST_ANNOUNCED, True)
    assert not queue.drain().has_dropped


def test_heartbeat_is_not_announced() -> None:
    queue = BatchQueue()
    queue.announce(RowsOfTrades("x", 0).batch)
    assert not queue.drain().announced
