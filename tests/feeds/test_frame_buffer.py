"""Frames that wait to be taken, and those that find no room."""

import json
from collections.abc import Callable

from candlewax.feeds.frame_buffer import EVENT_BYTES, FrameQueue, FrameRecorder, MemoryBudget
from candlewax.runtime.counters import Counters

FRAME = b"x" * 800
"""With what a row needs besides, a thousand bytes."""


def line(bound: int) -> tuple[FrameRecorder, FrameQueue, Callable[[], int]]:
    """A line with so much room, its queue, and what is counted as lost."""
    room, tally = MemoryBudget(bound), Counters()
    queue = room.create_queue()
    made = FrameRecorder("binance", "binance-0", queue, room, tally)
    return made, queue, lambda: tally.total("lost", "binance")


def told(queue: FrameQueue) -> list[int]:
    """What was said to be lost, of all that waits."""
    frames = [row[3] for row in queue.take(10**6)]
    return [json.loads(frame)["lost"] for frame in frames if "overflow" in str(frame)]


def test_what_is_lost_is_counted_at_once() -> None:
    """Before there is room again, when it is told."""
    receiving, queue, lost = line(3000)
    for _ in range(5):
        receiving.receive(FRAME)
    assert lost() == 2
    receiving.report_dropped()
    assert told(queue) == []
    assert lost() == 2
    receiving.receive(FRAME)
    assert told(queue) == [2]
    assert lost() == 2


def test_a_loss_that_cannot_be_told_yet_is_told_later() -> None:
    """When there is not even room for saying it, it stays to be said."""
    receiving, queue, lost = line(3000)
    while lost() < 7:
        receiving.record_event("silent", warn=False)
    before = lost()
    receiving.report_dropped(is_last=True)
    assert lost() == before + 1
    assert len(queue.rows) * 200 > EVENT_BYTES / 2
    assert told(queue) == []
    receiving.report_dropped()
    assert told(queue) == [before + 1]
