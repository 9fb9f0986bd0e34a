"""Paced replay: which frames are due, and when."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from candlewax.core import frame_log
from candlewax.core.frames import FrameBatch, SourceItem, UnreadableLines
from candlewax.feeds.replay.paced import PacedSource, PlaybackClock
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.runtime.counters import Counters

SECOND = 1_000_000


class ManualClock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with a frame per second of two exchanges, and an invalid line."""
    path = tmp_path / "log.tsv"
    lines = [
        frame_log.format_line(second * 10**9, exchange, f"{exchange}-0", second, str(second))
        for second in range(1, 11)
        for exchange in ("binance", "kraken")
    ]
    path.write_text("".join(lines) + "nonsense\n")
    return path


def exchanges_and_frames(items: Iterable[SourceItem]) -> list[tuple[str, str]]:
    return [
        (item.exchange, frame)
        for item in items
        if isinstance(item, FrameBatch)
        for frame in item.frames["frame"]
    ]


def poll(part: Any) -> Iterable[SourceItem]:
    """The items of the next poll of the part."""
    while not part.poll_timer.is_due():
        pass
    return cast("Iterable[SourceItem]", part.next_batch())


def test_frames_before_the_start_are_emitted_at_once_and_others_when_due(log: Path) -> None:
    """Later frames follow the recorded times at the given speed."""
    clock = ManualClock()
    playback = PlaybackClock(2.0, 4 * SECOND, clock)
    part = PacedSource(FrameLogSource([log], Counters()), playback, lambda: False).build_part(
        "s", "logs", None
    )
    assert any(isinstance(item, UnreadableLines) for item in part.next_batch())
    exchanges = ("binance", "kraken")
    assert exchanges_and_frames(poll(part)) == [
        (name, str(n)) for name in exchanges for n in range(1, 5)
    ]
    assert exchanges_and_frames(poll(part)) == []
    clock.now += SECOND // 2
    assert exchanges_and_frames(poll(part)) == [(name, "5") for name in exchanges]
    clock.now += SECOND
    assert exchanges_and_frames(poll(part)) == [(name, n) for name in exchanges for n in ("6", "7")]
    clock.now += 60 * SECOND
    assert exchanges_and_frames(poll(part)) == [
        (name, str(n)) for name in exchanges for n in range(8, 11)
    ]
    with pytest.raises(StopIteration):
        poll(part)


def test_replay_without_a_start_begins_with_the_first_frame(log: Path) -> None:
    """The first frame is emitted at once."""
    clock = ManualClock()
    playback = PlaybackClock(1.0, None, clock)
    part = PacedSource(FrameLogSource([log], Counters()), playback, lambda: False).build_part(
        "s", "logs", None
    )
    part.next_batch()
    assert exchanges_and_frames(poll(part)) == [("binance", "1"), ("kraken", "1")]
    clock.now += SECOND
    assert exchanges_and_frames(poll(part)) == [("binance", "2"), ("kraken", "2")]


def test_playback_clock_maps_recorded_times_to_wall_times() -> None:
    """Latencies and staleness on the page follow from it."""
    clock = ManualClock()
    playback = PlaybackClock(10.0, 100 * SECOND, clock)
    assert playback.now() == 100 * SECOND
    assert playback.to_wall(50 * SECOND) == clock.now
    playback.start(100 * SECOND)
    started_at = clock.now
    clock.now += 3 * SECOND
    assert playback.now() == 130 * SECOND
    assert playback.to_wall(120 * SECOND) == started_at + 2 * SECOND
    assert playback.to_wall(10 * SECOND) == started_at


def test_paced_replay_ends_when_stopped(log: Path) -> None:
    """Even with frames left."""
    stop_requests: list[bool] = []
    source = FrameLogSource([log], Counters())
    part = PacedSource(source, PlaybackClock(1.0), lambda: bool(stop_requests)).build_part(
        "s", "logs", None
    )
    part.next_batch()
    stop_requests.append(True)
    with pytest.raises(StopIteration):
        part.next_batch()
