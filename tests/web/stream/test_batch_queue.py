"""The queue of batches between the writing thread and the serving thread."""

from typing import Any

import polars as pl

from candlewax.core.batch import Batch
from candlewax.web.stream.batch_queue import BatchQueue


def batch(number: int, rows: int = 1) -> Batch:
    return Batch("x", {"ohlcv": pl.DataFrame({"n": [number] * rows})})


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
    queue.put([awaited])
    assert woken == [(awaited, True)]
    assert checked == [(awaited, False), (other, False), (awaited, True)]
    assert [stored for _, stored in queue.drain().batches] == [other, awaited]


def test_announced_batch_is_recognized_once_it_is_stored() -> None:
    """It is drained once as announced and once as stored, and counts as unstored in between."""
    queue, arriving, other = BatchQueue(), batch(1), batch(2)
    queue.announce(arriving)
    assert (list(queue.drain().announced), queue.unstored) == ([arriving], [arriving])
    queue.put([arriving, other])
    drained = queue.drain()
    assert [stored for _, stored in drained.batches] == [arriving, other]
    assert (list(drained.announced), set(drained.announced_ids), queue.unstored) == (
        [],
        {id(arriving)},
        [],
    )
    assert not queue.drain().announced_ids
