"""Worker thread of a source: order, end and failure of what it emits."""

import threading
import time

import pytest

from candlewax.core.frames import FrameBatch
from candlewax.feeds.frame_buffer import Row
from candlewax.feeds.rest.worker import WorkerPartition, WorkerThread
from candlewax.runtime.counters import Counters


def row(number: int) -> Row:
    """A frame of REST as the worker emits it."""
    return (number, "rest/X", number, f"frame {number}")


def take_all(part: WorkerPartition) -> list[str]:
    """Return all frames until the partition ends."""
    texts: list[str] = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            for item in part.next_batch():
                assert isinstance(item, FrameBatch)
                texts += item.frames["frame"].to_list()
        except StopIteration:
            return texts
        time.sleep(0.001)
    raise AssertionError


def test_worker_emits_all_frames_in_order_through_a_short_queue() -> None:
    """The thread waits while the queue is full."""

    def work(outlet: WorkerThread) -> None:
        for number in range(50):
            outlet.put(row(number))

    counters = Counters()
    part = WorkerPartition("binance", WorkerThread("test", work, 3), counters, lambda: False)
    assert take_all(part) == [f"frame {number}" for number in range(50)]
    assert counters.ended


def test_stop_ends_a_thread_that_waits_for_room_or_for_a_pause() -> None:
    """Frames that it put before are emitted."""
    has_begun = threading.Event()

    def without_room(outlet: WorkerThread) -> None:
        outlet.put(row(0))
        has_begun.set()
        outlet.put(row(1))

    def in_pause(outlet: WorkerThread) -> None:
        outlet.put(row(0))
        has_begun.set()
        outlet.pause(600)

    for work in (without_room, in_pause):
        has_begun.clear()
        counters = Counters()
        part = WorkerPartition("binance", WorkerThread("test", work, 1), counters, has_begun.is_set)
        has_begun.wait(60)
        assert take_all(part)[0] == "frame 0"
        assert not counters.ended
        part.close()


def test_exception_in_the_thread_fails_its_partition_with_the_cause() -> None:
    def work(outlet: WorkerThread) -> None:
        outlet.put(row(0))
        raise ValueError("no more")

    part = WorkerPartition("binance", WorkerThread("test", work, 3), Counters(), lambda: False)
    with pytest.raises(RuntimeError, match="binance: asking failed") as failure:
        take_all(part)
    assert isinstance(failure.value.__cause__, ValueError)
