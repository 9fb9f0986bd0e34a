"""Bytewax source that plays a recording at a chosen pace, as if live."""

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
from candlewax.runtime.errors import log_failures
from candlewax.runtime.poll_timer import ALWAYS, PollTimer, worker_group

MAX_WAIT: Final = timedelta(milliseconds=20)
"""Time between two batches, as in a live feed."""


class PlaybackClock:
    """Clock of a playback: converts between recorded time and time now. Safe in any thread.

    Times are microseconds since 1970. The recording up to `begin` is emitted at once; from there
    on `pace` seconds of it pass in each second.
    """

    def __init__(
        self, pace: float, begin_us: int | None = None, now: Callable[[], int] | None = None
    ) -> None:
        self.pace = pace
        self._begin_us = begin_us
        self._wall_now = now or steady_clock
        self._started_us: int | None = None

    def start(self, first_us: int) -> None:
        """Start the clock with the first frame to be paced, received at `first_us`."""
        if self._started_us is None:
            self._begin_us = first_us if self._begin_us is None else self._begin_us
            self._started_us = self._wall_now()

    @property
    def begin(self) -> int | None:
        """Return the recorded time at which pacing begins."""
        return self._begin_us

    def now(self, wall_us: int | None = None) -> int:
        """Return the recorded time that corresponds to `wall_us`, by default to the present."""
        if self._started_us is None:
            return self._begin_us or 0
        wall_us = self._wall_now() if wall_us is None else wall_us
        return (self._begin_us or 0) + int((wall_us - self._started_us) * self.pace)

    def to_wall(self, recorded_us: int) -> int:
        """Return the present time at which a recorded time is played."""
        if self._started_us is None:
            return self._wall_now()
        return self._started_us + int(max(0, recorded_us - (self._begin_us or 0)) / self.pace)


@log_failures
class _PacedPartition(StatefulSourcePartition[SourceItem, None]):
    def __init__(
        self,
        inner: StatefulSourcePartition[SourceItem, Snapshot],
        clock: PlaybackClock,
        should_stop: Callable[[], bool],
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._should_stop = should_stop
        self._waiting: deque[tuple[FrameBatch, pl.Series]] = deque()
        self.poll_timer = PollTimer(worker_group())

    def next_batch(self) -> Iterable[SourceItem]:
        if self._should_stop():
            raise StopIteration
        if not self.poll_timer.is_due():
            return []
        if self._waiting:
            return self._take_due()
        items: list[SourceItem] = []
        for item in self._inner.next_batch():
            if isinstance(item, FrameBatch):
                # If the clock was set back while recording, later frames do not wait for it.
                self._waiting.append((item, item.frames["recv_ns"].cum_max() // 1000))
            else:
                items.append(item)
        return items

    def _take_due(self) -> list[SourceItem]:
        """Remove and return the frames that are due, those of each exchange in their order."""
        first_us = min(int(times[0]) for _, times in self._waiting)
        if self._clock.begin is None or first_us >= self._clock.begin:
            self._clock.start(first_us)
        now = self._clock.now()
        due: list[SourceItem] = []
        rest: deque[tuple[FrameBatch, pl.Series]] = deque()
        for item, times in self._waiting:
            count = int(times.search_sorted(now, side="right"))
            if count:
                due.append(FrameBatch(item.exchange, item.frames.head(count)))
            if count < times.len():
                rest.append((FrameBatch(item.exchange, item.frames[count:]), times[count:]))
        self._waiting = rest
        if due:
            self.poll_timer.mark_emitted()
        self.poll_timer.schedule(MAX_WAIT if rest else None)
        return due

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self.poll_timer.close()
        self._inner.close()


class PacedSource(FixedPartitionedSource[SourceItem, None]):
    """Source of recorded frames at the pace of `clock`.

    Emits the items of `FrameLogSource`, each frame at its time.

    Delivery: for display only; it starts over after a restart. Unit of parallelism: one partition.
    """

    def __init__(
        self, logs: FrameLogSource, clock: PlaybackClock, should_stop: Callable[[], bool]
    ) -> None:
        self._logs = logs
        self._clock = clock
        self._should_stop = should_stop

    def list_parts(self) -> list[str]:
        return self._logs.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _PacedPartition:
        inner = self._logs.build_part(step_id, for_part, None)
        return _PacedPartition(inner, self._clock, self._should_stop)
