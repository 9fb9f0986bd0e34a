"""A recording played at a pace, as if it happened now."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.core.frames import FrameBatch, SourceItem
from candlewax.core.snapshots import Snapshot
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.runtime.clocks import steady_clock
from candlewax.runtime.emit_gate import ALWAYS, PULSE, Looks
from candlewax.runtime.errors import log_failures

STEP: Final = timedelta(milliseconds=20)
"""Time between two looks at what is due: what a live feed waits too."""


class PlaybackClock:
    """How far a recording is played; asked by any thread.

    `begin` is the time of the recording (microseconds since 1970) up to which all of it
    comes at once; from there on `pace` seconds of it pass in each second.
    """

    def __init__(
        self, pace: float, begin: int | None = None, now: Callable[[], int] | None = None
    ) -> None:
        self.pace = pace
        self._begin = begin
        self._wall_now = now or steady_clock
        self._began: int | None = None

    def start(self, first: int) -> None:
        """The first frame that is not there at once is at hand, received at `first`."""
        if self._began is None:
            self._begin = first if self._begin is None else self._begin
            self._began = self._wall_now()

    @property
    def begin(self) -> int | None:
        """Where the playing begins."""
        return self._begin

    def now(self, wall: int | None = None) -> int:
        """The time of the recording; `wall` is the time here, of now if none is given."""
        if self._began is None:
            return self._begin or 0
        wall = self._wall_now() if wall is None else wall
        return (self._begin or 0) + int((wall - self._began) * self.pace)

    def wall(self, received: int) -> int:
        """When it was, or will be here, that a time of the recording is played."""
        if self._began is None:
            return self._wall_now()
        return self._began + int(max(0, received - (self._begin or 0)) / self.pace)


@log_failures
class _Paced(StatefulSourcePartition[SourceItem, None]):
    def __init__(
        self,
        inner: StatefulSourcePartition[SourceItem, Snapshot],
        play: PlaybackClock,
        stopping: Callable[[], bool],
    ) -> None:
        self._inner = inner
        self._play = play
        self._stopping = stopping
        self._held: deque[tuple[FrameBatch, pl.Series]] = deque()
        self.looks = Looks(PULSE)

    def next_batch(self) -> Iterable[SourceItem]:
        if self._stopping():
            raise StopIteration
        if not self.looks.due():
            return []
        if self._held:
            return self._due()
        given: list[SourceItem] = []
        for item in self._inner.next_batch():
            if isinstance(item, FrameBatch):
                # A clock that was set back does not hold up what follows.
                self._held.append((item, item.frames["recv_ns"].cum_max() // 1000))
            else:
                given.append(item)
        return given

    def _due(self) -> list[SourceItem]:
        """What was received by now; of each exchange in its order."""
        first = min(int(times[0]) for _, times in self._held)
        if self._play.begin is None or first >= self._play.begin:
            self._play.start(first)
        now = self._play.now()
        due: list[SourceItem] = []
        rest: deque[tuple[FrameBatch, pl.Series]] = deque()
        for item, times in self._held:
            count = int(times.search_sorted(now, side="right"))
            if count:
                due.append(FrameBatch(item.exchange, item.frames.head(count)))
            if count < times.len():
                rest.append((FrameBatch(item.exchange, item.frames[count:]), times[count:]))
        self._held = rest
        self.looks.wait(STEP if rest else None)
        if due:
            self.looks.emitted()
        return due

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self._inner.close()


class PacedSource(FixedPartitionedSource[SourceItem, None]):
    """Plays frame logs at the pace of `play`.

    Emits what `FrameLogSource` emits, each frame when its time has come.

    Unit of parallelism: one partition, as the recordings. Delivery: for looking at: it
    begins anew after a restart.
    """

    def __init__(
        self, recordings: FrameLogSource, play: PlaybackClock, stopping: Callable[[], bool]
    ) -> None:
        self._recordings = recordings
        self._play = play
        self._stopping = stopping

    def list_parts(self) -> list[str]:
        return self._recordings.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Paced:
        inner = self._recordings.build_part(step_id, for_part, None)
        return _Paced(inner, self._play, self._stopping)
