"""Frame queue and memory budget: frames that find no room are counted and reported."""

import json
from collections.abc import Callable

from candlewax.feeds.frame_buffer import EVENT_BYTES, FrameQueue, FrameRecorder, MemoryBudget
from candlewax.runtime.counters import Counters

FRAME = b"x" * 800
"""With the overhead of a row, 1,000 bytes."""


def make_recorder(bound: int) -> tuple[FrameRecorder, FrameQueue, Callable[[], int]]:
    """A recorder with a memory budget, its queue, and a count of its lost frames."""
    budget, counters = MemoryBudget(bound), Counters()
    queue = budget.create_queue()
    recorder = FrameRecorder("binance", "binance-0", queue, budget, counters)
    return recorder, queue, lambda: counters.total("lost", "binance")


def reported_losses(queue: FrameQueue) -> list[int]:
    """The losses that queued events report."""
    frames = [row[3] for row in queue.take(10**6)]
    return [json.loads(frame)["lost"] for frame in frames if "overflow" in str(frame)]


def test_lost_frames_are_counted_before_they_are_reported() -> None:
    """The report waits for room in the queue."""
    recorder, queue, lost = make_recorder(3000)
    for _ in range(5):
        recorder.receive(FRAME)
    assert lost() == 2
    recorder.report_dropped()
    assert reported_losses(queue) == []
    assert lost() == 2
    recorder.receive(FRAME)
    assert reported_losses(queue) == [2]
    assert lost() == 2


def test_loss_is_reported_later_when_the_queue_has_no_room_for_the_event() -> None:
    recorder, queue, lost = make_recorder(3000)
    while lost() < 7:
        recorder.record_event("silent", warn=False)
    before = lost()
    recorder.report_dropped(is_last=True)
    assert lost() == before + 1
    assert len(queue.rows) * 200 > EVENT_BYTES / 2
    assert reported_losses(queue) == []
    recorder.report_dropped()
    assert reported_losses(queue) == [before + 1]
