"""Bytewax source of frame logs, replayed in the order of receipt."""

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

BATCH_BYTES: Final = 12 << 20
"""About how much text all logs together keep in memory to be merged."""

MIN_LOG_BYTES: Final = 1 << 18
"""Least text that each log keeps in memory, however many logs there are."""


class Position(NamedTuple):
    """Position to resume a log at: byte and line of its text, and the latest `recv_ns` before."""

    offset: int = 0
    line: int = 0
    latest: int = 0


_NO_FRAMES: Final = pl.DataFrame(schema={**frame_log.LINES, "key": pl.Int64})


class _Log:
    """Open log with one chunk in memory, and the number of its frames that were taken."""

    def __init__(self, path: Path, size: int, start: Position, counters: Counters) -> None:
        self._path = path
        self._start = start
        self._counters = counters
        self._lines = Lines(blocks(path, counters.add_bytes_read), size, start.offset)
        self._chunk = b""
        self._count = 0
        self._frames = _NO_FRAMES
        self._taken = 0
        self.dead_letters: list[pl.DataFrame] = []
        self.ended = False

    def fill(self) -> None:
        """Read the next chunk if all frames in memory are taken."""
        if self.ended or not self.is_empty:
            return
        self._start = self.position()
        self._chunk, self._taken = self._lines.next_chunk(), 0
        self._frames, self._count = _NO_FRAMES, 0
        if self._chunk:
            chunk = frame_log.read(self._chunk, str(self._path), self._start.line)
            self._count = chunk.lines
            self._frames = _with_key(chunk.frames, self._start.latest)
            self.dead_letters.append(chunk.dead_letters)
        else:
            self._end()

    @property
    def is_empty(self) -> bool:
        """Return True if no frame is in memory."""
        return self._taken == self._frames.height

    def _end(self) -> None:
        self.ended = True
        if error := self._lines.error:
            line = (self._start.line, error.reason, str(error), b"")
            self.dead_letters.append(frame_log.line_dead_letters(str(self._path), [line]))

    @property
    def last(self) -> int:
        """Return the key of the last frame in memory."""
        return int(self._frames["key"][-1])

    def take(self, bound: int, *, inclusive: bool) -> pl.DataFrame:
        """Take and return the frames up to a key."""
        side: Literal["left", "right"] = "right" if inclusive else "left"
        end = self._frames["key"].search_sorted(bound, side=side)
        start, self._taken = self._taken, max(end, self._taken)
        return self._frames.slice(start, self._taken - start)

    def position(self) -> Position:
        """Return the position after the last frame taken."""
        if self.is_empty:
            lines = self._count
            latest = self.last if self._taken else self._start.latest
            done_bytes = len(self._chunk)
        elif self._taken:
            lines = int(self._frames["line"][self._taken - 1]) + 1
            latest = int(self._frames["key"][self._taken - 1])
            done_bytes = _end_of_line(self._chunk, lines)
        else:
            return self._start
        return Position(self._start.offset + done_bytes, self._start.line + lines, latest)


def _with_key(frames: pl.DataFrame, latest: int) -> pl.DataFrame:
    """Add `key`: the latest `recv_ns` up to a frame.

    If the clock was set back while recording, the rest of the log does not wait for it.
    """
    key = pl.col("recv_ns").cum_max().clip(lower_bound=latest)
    return frames.with_columns(key=key)


def _end_of_line(text: bytes, number: int) -> int:
    """Return the byte after the `number`th line of the text."""
    end = 0
    for _ in range(number):
        end = text.index(b"\n", end) + 1
    return end


@log_failures
class _FrameLogPartition(StatefulSourcePartition[SourceItem, Snapshot]):
    def __init__(
        self,
        paths: Sequence[Path],
        positions: dict[str, Position],
        counters: Counters,
        should_stop: Callable[[], bool],
    ) -> None:
        size = max(BATCH_BYTES // max(len(paths), 1), MIN_LOG_BYTES)
        self._logs = {
            str(path): _Log(path, size, positions.get(str(path), Position()), counters)
            for path in paths
        }
        self._counters = counters
        self._should_stop = should_stop

    def next_batch(self) -> Iterable[SourceItem]:
        if self._should_stop():
            raise StopIteration
        logs = list(self._logs.values())
        for log in logs:
            log.fill()
        dead_letters = [lines for log in logs for lines in log.dead_letters if lines.height]
        for log in logs:
            log.dead_letters = []
        received = [UnreadableLines(lines) for lines in dead_letters]
        if all(log.ended for log in logs):
            if received:
                return received
            self._counters.ended = True
            raise StopIteration
        if any(log.is_empty for log in logs if not log.ended):
            return received
        return [*received, *_by_exchange(_merge(logs))]

    def snapshot(self) -> Snapshot:
        return save_positions({path: log.position() for path, log in self._logs.items()})


def _merge(logs: Sequence[_Log]) -> pl.DataFrame:
    """Return all frames that no unread frame can precede, in order."""
    bound, bound_log = min((log.last, index) for index, log in enumerate(logs) if not log.ended)
    parts = [log.take(bound, inclusive=index <= bound_log) for index, log in enumerate(logs)]
    non_empty = [part for part in parts if part.height]
    if len(non_empty) == 1:
        return non_empty[0]
    return pl.concat(non_empty).sort("key", maintain_order=True)


def _by_exchange(frames: pl.DataFrame) -> list[FrameBatch]:
    first = frames["exchange"][0]
    if (frames["exchange"] == first).all():
        return [FrameBatch(first, frames.select(*FRAMES))]
    parts = frames.partition_by("exchange", maintain_order=True)
    return [FrameBatch(part["exchange"][0], part.select(*FRAMES)) for part in parts]


class FrameLogSource(FixedPartitionedSource[SourceItem, Snapshot]):
    """Source of frame logs, merged in the order of `recv_ns`.

    Emits `FrameBatch` and `UnreadableLines`, and ends with the last log. Frames of equal time come
    in the order of the logs.

    Delivery: at least once. It resumes after the last frame of the snapshot, so frames of an
    unfinished epoch are emitted again, and so are the dead letters of lines and damaged files.
    Unit of parallelism: one partition, as the logs are merged into one order.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        counters: Counters,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._paths = paths
        self._counters = counters
        self._should_stop = should_stop

    def list_parts(self) -> list[str]:
        return ["logs"]

    def build_part(
        self, step_id: str, for_part: str, resume_state: Snapshot | None
    ) -> _FrameLogPartition:
        saved = load_positions(resume_state) if resume_state else {}
        positions = {path: Position(*position) for path, position in saved.items()}
        return _FrameLogPartition(self._paths, positions, self._counters, self._should_stop)
