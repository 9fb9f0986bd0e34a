"""A recording played at a pace: what is due, and when."""

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


class Hands:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A frame each second of two exchanges, and a line that is none."""
    path = tmp_path / "log.tsv"
    lines = [
        frame_log.format_line(second * 10**9, exchange, f"{exchange}-0", second, str(second))
        for second in range(1, 11)
        for exchange in ("binance", "kraken")
    ]
    path.write_text("".join(lines) + "nonsense\n")
    return path


def seen(items: Iterable[SourceItem]) -> list[tuple[str, str]]:
    return [
        (item.exchange, frame)
        for item in items
        if isinstance(item, FrameBatch)
        for frame in item.frames["frame"]
    ]


def taken(part: Any) -> Iterable[SourceItem]:
    """What the part gives when it looks again."""
    while not part.poll_timer.is_due():
        pass
    return cast("Iterable[SourceItem]", part.next_batch())


def test_what_lies_before_the_beginning_comes_at_once(log: Path) -> None:
    """Then each frame when its time has come, at the pace."""
    hands = Hands()
    play = PlaybackClock(2.0, 4 * SECOND, hands)
    part = PacedSource(FrameLogSource([log], Counters()), play, lambda: False).build_part(
        "s", "logs", None
    )
    assert any(isinstance(item, UnreadableLines) for item in part.next_batch())
    both = ("binance", "kraken")
    assert seen(taken(part)) == [(name, str(n)) for name in both for n in range(1, 5)]
    assert seen(taken(part)) == []
    hands.now += SECOND // 2
    assert seen(taken(part)) == [(name, "5") for name in both]
    hands.now += SECOND
    assert seen(taken(part)) == [(name, n) for name in both for n in ("6", "7")]
    hands.now += 60 * SECOND
    assert seen(taken(part)) == [(name, str(n)) for name in both for n in range(8, 11)]
    with pytest.raises(StopIteration):
        taken(part)


def test_without_a_beginning_it_is_the_first_frame(log: Path) -> None:
    """Which comes at once."""
    hands = Hands()
    play = PlaybackClock(1.0, None, hands)
    part = PacedSource(FrameLogSource([log], Counters()), play, lambda: False).build_part(
        "s", "logs", None
    )
    part.next_batch()
    assert seen(taken(part)) == [("binance", "1"), ("kraken", "1")]
    hands.now += SECOND
    assert seen(taken(part)) == [("binance", "2"), ("kraken", "2")]


def test_times_of_the_recording_have_their_times_here() -> None:
    """So that latency can be told, and the page knows how late it is there."""
    hands = Hands()
    play = PlaybackClock(10.0, 100 * SECOND, hands)
    assert play.now() == 100 * SECOND
    assert play.to_wall(50 * SECOND) == hands.now
    play.start(100 * SECOND)
    began = hands.now
    hands.now += 3 * SECOND
    assert play.now() == 130 * SECOND
    assert play.to_wall(120 * SECOND) == began + 2 * SECOND
    assert play.to_wall(10 * SECOND) == began


def test_it_stops_when_it_is_asked_to(log: Path) -> None:
    """In the middle of what it holds."""
    asked: list[bool] = []
    recordings = FrameLogSource([log], Counters())
    part = PacedSource(recordings, PlaybackClock(1.0), lambda: bool(asked)).build_part(
        "s", "logs", None
    )
    part.next_batch()
    asked.append(True)
    with pytest.raises(StopIteration):
        part.next_batch()
