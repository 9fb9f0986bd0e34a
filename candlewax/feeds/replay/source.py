"""Frame logs as a source: recorded frames, replayed in the order they were received."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.core import frame_log
from candlewax.core.frames import FrameBatch, SourceItem, UnreadableLines
from candlewax.core.schema import FRAMES
from candlewax.core.snapshots import Snapshot, load_positions, save_positions
from candlewax.feeds.replay.log_reader import Lines, blocks
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

BATCH_BYTES: Final = 8 << 20
"""About how much text all logs together hold ready to be merged."""

LEAST_BYTES: Final = 1 << 18
"""What each log holds ready however many there are."""


class Position(NamedTuple):
    """Where a log is to be read on: byte and line of its text, and the latest
    `recv_ns` before.
    """

    offset: int = 0
    line: int = 0
    latest: int = 0


_NONE: Final = pl.DataFrame(schema={**frame_log.LINES, "key": pl.Int64})


class _Log:
    """One log: a chunk of it read, and how much of that is taken."""

    def __init__(self, path: Path, size: int, start: Position, tally: Counters) -> None:
        self._path = path
        self._start = start
        self._tally = tally
        self._lines = Lines(blocks(path, tally.read), size, start.offset)
        self._chunk = b""
        self._count = 0
        self._frames = _NONE
        self._taken = 0
        self.letters: list[pl.DataFrame] = []
        self.ended = False

    def fill(self) -> None:
        """Read on if all frames at hand are taken."""
        if self.ended or not self.dry:
            return
        self._start = self.position()
        self._chunk, self._taken = self._lines.next_chunk(), 0
        self._frames, self._count = _NONE, 0
        if self._chunk:
            chunk = frame_log.read(self._chunk, str(self._path), self._start.line)
            self._count = chunk.lines
            self._frames = _keyed(chunk.frames, self._start.latest)
            self.letters.append(chunk.letters)
        else:
            self._end()

    @property
    def dry(self) -> bool:
        """Whether there is no frame at hand."""
        return self._taken == self._frames.height

    def _end(self) -> None:
        self.ended = True
        if error := self._lines.error:
            line = (self._start.line, error.reason, str(error), b"")
            self.letters.append(frame_log.line_letters(str(self._path), [line]))

    @property
    def last(self) -> int:
        """The key of the last frame at hand."""
        return int(self._frames["key"][-1])

    def take(self, bound: int, *, inclusive: bool) -> pl.DataFrame:
        """The frames up to a key, which count as taken."""
        side: Literal["left", "right"] = "right" if inclusive else "left"
        end = self._frames["key"].search_sorted(bound, side=side)
        begin, self._taken = self._taken, max(end, self._taken)
        return self._frames.slice(begin, self._taken - begin)

    def position(self) -> Position:
        """Where to read on if all that was taken is done."""
        if self.dry:
            lines = self._count
            latest = self.last if self._taken else self._start.latest
            done = len(self._chunk)
        elif self._taken:
            lines = int(self._frames["line"][self._taken - 1]) + 1
            latest = int(self._frames["key"][self._taken - 1])
            done = _end_of_line(self._chunk, lines)
        else:
            return self._start
        return Position(self._start.offset + done, self._start.line + lines, latest)


def _keyed(frames: pl.DataFrame, latest: int) -> pl.DataFrame:
    """Add `key`: the time of a frame, or of the latest before it: a clock that was
    set back does not hold up a whole log.
    """
    key = pl.col("recv_ns").cum_max().clip(lower_bound=latest)
    return frames.with_columns(key=key)


def _end_of_line(text: bytes, number: int) -> int:
    """Where the `number`th line of the text ends."""
    end = 0
    for _ in range(number):
        end = text.index(b"\n", end) + 1
    return end


@log_failures
class _Replay(StatefulSourcePartition[SourceItem, Snapshot]):
    def __init__(
        self,
        paths: Sequence[Path],
        resume: dict[str, Position],
        tally: Counters,
        stopping: Callable[[], bool],
    ) -> None:
        size = max(BATCH_BYTES // max(len(paths), 1), LEAST_BYTES)
        self._logs = {
            str(path): _Log(path, size, resume.get(str(path), Position()), tally) for path in paths
        }
        self._tally = tally
        self._stopping = stopping

    def next_batch(self) -> Iterable[SourceItem]:
        if self._stopping():
            raise StopIteration
        logs = list(self._logs.values())
        for log in logs:
            log.fill()
        letters = [lines for log in logs for lines in log.letters if lines.height]
        for log in logs:
            log.letters = []
        received = [UnreadableLines(lines) for lines in letters]
        if all(log.ended for log in logs):
            if received:
                return received
            self._tally.ended = True
            raise StopIteration
        if any(log.dry for log in logs if not log.ended):
            return received
        return [*received, *_by_exchange(_merged(logs))]

    def snapshot(self) -> Snapshot:
        return save_positions({path: log.position() for path, log in self._logs.items()})


def _merged(logs: Sequence[_Log]) -> pl.DataFrame:
    """All frames that no frame still unread can come before."""
    bound, holding = min((log.last, place) for place, log in enumerate(logs) if not log.ended)
    parts = [log.take(bound, inclusive=place <= holding) for place, log in enumerate(logs)]
    filled = [part for part in parts if part.height]
    if len(filled) == 1:
        return filled[0]
    return pl.concat(filled).sort("key", maintain_order=True)


def _by_exchange(frames: pl.DataFrame) -> list[FrameBatch]:
    first = frames["exchange"][0]
    if (frames["exchange"] == first).all():
        return [FrameBatch(first, frames.select(*FRAMES))]
    parts = frames.partition_by("exchange", maintain_order=True)
    return [FrameBatch(part["exchange"][0], part.select(*FRAMES)) for part in parts]


class FrameLogSource(FixedPartitionedSource[SourceItem, Snapshot]):
    """Replays frame logs, merged in the order of `recv_ns`, as if live.

    Emits `FrameBatch` and `UnreadableLines` items and ends with the last log. Frames of equal
    time come in the order of the logs.

    Unit of parallelism: one partition reads all logs, as their merged order is one.
    Delivery: resumes after the last frame of the snapshot, so at least once for the
    frames of an unfinished epoch; what a line or the end of a damaged file left
    unread is emitted as a dead letter again when it is read again.
    """

    def __init__(
        self, paths: Sequence[Path], tally: Counters, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._paths = paths
        self._tally = tally
        self._stopping = stopping

    def list_parts(self) -> list[str]:
        return ["logs"]

    def build_part(self, step_id: str, for_part: str, resume_state: Snapshot | None) -> _Replay:
        read = load_positions(resume_state) if resume_state else {}
        begins = {path: Position(*position) for path, position in read.items()}
        return _Replay(self._paths, begins, self._tally, self._stopping)
