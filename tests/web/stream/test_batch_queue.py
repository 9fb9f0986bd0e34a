"""What is handed from the thread that stores to the one that serves."""

from typing import Any

import polars as pl

from candlewax.core.batch import Batch
from candlewax.web.stream.batch_queue import BatchQueue


def batch(number: int, rows: int = 1) -> Batch:
    return Batch("x", {"ohlcv": pl.DataFrame({"n": [number] * rows})})


def numbers(hub: BatchQueue) -> list[int]:
    return [batch.tables["ohlcv"]["n"][0] for _, batch in hub.drain().batches]


def test_what_is_put_is_taken_once_in_its_order() -> None:
    """And then there is nothing."""
    hub = BatchQueue()
    hub.put([batch(1), batch(2)])
    hub.put([batch(3)])
    assert numbers(hub) == [1, 2, 3]
    assert numbers(hub) == []


def test_the_oldest_goes_where_nobody_takes() -> None:
    """And who takes at last is told, once."""
    hub = BatchQueue(most_rows=3)
    for number in range(10):
        hub.put([batch(number)])
    taken = hub.drain()
    assert taken.has_dropped
    assert [one.tables["ohlcv"]["n"][0] for _, one in taken.batches] == [7, 8, 9]
    hub.put([batch(10)])
    assert not hub.drain().has_dropped


def test_a_batch_larger_than_the_room_is_dropped_whole() -> None:
    """The pipeline does not wait for it."""
    hub = BatchQueue(most_rows=3)
    hub.put([batch(0, rows=4)])
    taken = hub.drain()
    assert (list(taken.batches), taken.has_dropped) == ([], True)


def test_who_listens_is_woken_once_until_it_takes() -> None:
    """Not for every batch."""
    hub, woken = BatchQueue(), []
    hub.listen(lambda: woken.append(1))
    for number in range(3):
        hub.put([batch(number)])
    assert len(woken) == 1
    hub.drain()
    hub.put([batch(3)])
    assert len(woken) == 2


def test_who_listens_is_woken_by_what_it_awaits() -> None:
    """And takes what came before with it; of each batch it is said whether it is known."""
    hub, one, other = BatchQueue(), batch(1), batch(2)
    woken: list[tuple[Batch, bool]] = []
    asked: list[tuple[Batch, bool]] = []

    def if_known(*batch: Any) -> bool:
        asked.append(batch)
        return bool(batch[1])

    hub.listen(lambda: woken.append(asked[-1]), if_known)
    hub.announce(one)
    hub.put([other])
    assert woken == []
    hub.put([one])
    assert woken == [(one, True)]
    assert asked == [(one, False), (other, False), (one, True)]
    assert [stored for _, stored in hub.drain().batches] == [other, one]


def test_what_comes_is_told_before_it_is_stored_and_known_then() -> None:
    """Each of the two once; meanwhile it is unstored."""
    hub, one, other = BatchQueue(), batch(1), batch(2)
    hub.announce(one)
    assert (list(hub.drain().announced), hub.unstored) == ([one], [one])
    hub.put([one, other])
    taken = hub.drain()
    assert [stored for _, stored in taken.batches] == [one, other]
    assert (list(taken.announced), set(taken.announced_ids), hub.unstored) == ([], {id(one)}, [])
    assert not hub.drain().announced_ids
