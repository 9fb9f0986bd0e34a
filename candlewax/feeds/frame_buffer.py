"""Bounded queues of frames between the receiving thread and the workers."""

import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import polars as pl

from candlewax.core.frames import EVENT, FrameBatch, InvalidUtf8Frames, SourceItem
from candlewax.core.gaps.outages import PROCESS
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import SMALL_BATCH_ROWS
from candlewax.core.schema import FRAMES
from candlewax.runtime.counters import Counters

BUFFER_BYTES: Final = 256 << 20
"""About how much memory all queued frames may hold."""

ROW_BYTES: Final = 200
"""Memory of a queued frame besides its text."""

EVENT_BYTES: Final = 1 << 20
"""Memory beyond the bound that only connection events may use."""

MAX_SHOWN: Final = 20
"""Largest number of instruments listed in one log line."""

Row = tuple[int, str, int, str | bytes]
"""recv_ns, connection, seq, and the frame: bytes if it is not UTF-8."""

_EVENT_PREFIX: Final = f'{{"{EVENT}":'
"""Start of a frame that holds a connection event of our own."""

_PROCESS_ID: Final = secrets.token_hex(4)
"""Random identifier of this process, unique across restarts."""

_log = logging.getLogger(__name__)


class FrameQueue:
    """Queued frames of one source partition: one thread puts them, another takes them."""

    def __init__(self, on_input: Callable[[], object] = lambda: None) -> None:
        """Call `on_input` when a frame is put into an empty queue."""
        self._on_input = on_input
        self.rows: deque[Row] = deque()
        self.taken_bytes = 0
        """Bytes taken since the start."""

    def put(self, row: Row) -> None:
        """Add a frame."""
        self.rows.append(row)
        if len(self.rows) == 1:
            self._on_input()

    def take(self, max_frames: int) -> list[Row]:
        """Remove and return up to `max_frames` of the oldest frames."""
        rows = self.rows
        taken = [rows.popleft() for _ in range(min(len(rows), max_frames))]
        self.taken_bytes += sum(len(row[3]) for row in taken) + ROW_BYTES * len(taken)
        return taken


class MemoryBudget:
    """Memory bound shared by all queues; only the receiving thread reserves from it."""

    def __init__(self, bound_bytes: int) -> None:
        self._bound_bytes = bound_bytes
        self._put_bytes = 0
        self._limit_bytes = bound_bytes
        self._queues: list[FrameQueue] = []

    def create_queue(self, on_input: Callable[[], object] = lambda: None) -> FrameQueue:
        """Return a new queue whose frames count against this budget.

        It calls `on_input` when a frame is put while it is empty.
        """
        queue = FrameQueue(on_input)
        self._queues.append(queue)
        return queue

    def reserve(self, size_bytes: int, extra_bytes: int = 0) -> bool:
        """Reserve memory if the bound plus `extra_bytes` allows it. Return True if reserved."""
        put_bytes = self._put_bytes + size_bytes
        if put_bytes > self._limit_bytes + extra_bytes:
            self._limit_bytes = self._bound_bytes + sum(queue.taken_bytes for queue in self._queues)
            if put_bytes > self._limit_bytes + extra_bytes:
                return False
        self._put_bytes = put_bytes
        return True

    @property
    def has_recovered(self) -> bool:
        """Return True if an eighth of the budget is free.

        Without this margin, every other frame would be an overflow event.
        """
        self._limit_bytes = self._bound_bytes + sum(queue.taken_bytes for queue in self._queues)
        return self._put_bytes <= self._limit_bytes - self._bound_bytes // 8


class FrameRecorder:
    """Recorder of the frames and events of connections of one name.

    Frames are numbered for the life of the process. If the memory budget is used up, frames are
    dropped and counted, and an `overflow` event reports how many. Only the receiving thread may
    use it.
    """

    def __init__(
        self,
        exchange: str,
        name: str,
        queue: FrameQueue,
        memory_budget: MemoryBudget,
        counters: Counters,
        on_event: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Call `on_event` with the kind of each event."""
        self.name = name
        self._on_event = on_event
        self._exchange = exchange
        self._queue = queue
        self._memory_budget = memory_budget
        self._counters = counters
        self._seq = 0
        self._dropped = 0

    def receive(self, data: bytes) -> str:
        """Queue a message that was just received. Return its text, or "" if it is not UTF-8."""
        recv_ns = time.time_ns()
        try:
            frame: str | bytes = data.decode()
        except UnicodeDecodeError:
            frame = data
        if self._dropped:
            self.report_dropped()
        if self._dropped or not self._memory_budget.reserve(len(frame) + ROW_BYTES):
            self._drop()
        else:
            self._queue.put((recv_ns, self.name, self._seq, frame))
            self._seq += 1
        return frame if isinstance(frame, str) else ""

    def record_event(self, kind: str, *, warn: bool = True, **facts: object) -> None:
        """Record a connection event: as a frame, as a log line and in a counter."""
        content = {
            EVENT: kind,
            "exchange": self._exchange,
            "connection": self.name,
            PROCESS: _PROCESS_ID,
            **{name: fact for name, fact in facts.items() if fact is not None},
        }
        self._counters.increment(1, "connections", self._exchange, kind)
        self._on_event(kind)
        text = ", ".join(f"{name} {format_fact(fact)}" for name, fact in facts.items() if fact)
        level = logging.WARNING if warn else logging.INFO
        _log.log(level, "%s: %s%s", self.name, kind, text and f": {text}")
        frame = json.dumps(content, separators=(",", ":"))
        if self._memory_budget.reserve(len(frame) + ROW_BYTES, EVENT_BYTES):
            self._queue.put((time.time_ns(), self.name, self._seq, frame))
            self._seq += 1
        else:
            self._drop()

    def _drop(self) -> None:
        # Counted at once, so that the metric rises while the overflow lasts.
        self._dropped += 1
        self._counters.increment(1, "lost", self._exchange)

    def report_dropped(self, *, is_last: bool = False) -> None:
        """Record how many frames were dropped, once there is memory again or if `is_last`."""
        if self._dropped and (is_last or self._memory_budget.has_recovered):
            dropped, self._dropped = self._dropped, 0
            self.record_event("overflow", lost=dropped)
            if self._dropped:
                # The event itself was dropped.
                self._dropped += dropped


def is_event(row: Row) -> bool:
    """Tell if a row holds a connection event of our own."""
    return isinstance(row[3], str) and row[3].startswith(_EVENT_PREFIX)


def format_fact(fact: object) -> str:
    """Format a fact of an event for a log line."""
    if isinstance(fact, list | tuple):
        more = f" and {len(fact) - MAX_SHOWN} more" if len(fact) > MAX_SHOWN else ""
        return " ".join(map(str, fact[:MAX_SHOWN])) + more
    return f"{fact:.1f}" if isinstance(fact, float) else str(fact)


def redact_url(url: str) -> str:
    """Return scheme, host and port of a URL, without credentials, path and query."""
    parts = urlsplit(url)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port else "")


def to_source_items(exchange: str, rows: list[Row]) -> list[SourceItem]:
    """Return the frames as items of a source, in the order received; invalid UTF-8 apart."""
    texts = [row for row in rows if isinstance(row[3], str)]
    items: list[SourceItem] = []
    if texts and len(texts) <= SMALL_BATCH_ROWS:
        # A connection that is no topic is its own source.
        frames = [Frame(*row, row[1], 0, row[2]) for row in texts]  # type: ignore[arg-type]
        items.append(FrameBatch(exchange, rows=frames))
    elif texts:
        items.append(FrameBatch(exchange, _frame_table(texts)))
    if len(texts) < len(rows):
        items.append(
            _invalid_utf8_frames(exchange, [row for row in rows if not isinstance(row[3], str)])
        )
    return items


def _invalid_utf8_frames(exchange: str, rows: list[Row]) -> InvalidUtf8Frames:
    values = [bytes(row[3]) for row in rows]  # type: ignore[arg-type]
    texts = [value.decode(errors="backslashreplace") for value in values]
    escaped: list[Row] = [(*row[:3], text) for row, text in zip(rows, texts, strict=True)]
    return InvalidUtf8Frames(
        exchange, _frame_table(escaped), values, [_decode_error(value) for value in values]
    )


def _decode_error(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return str(error)
    return ""


def _frame_table(rows: Sequence[Row]) -> pl.DataFrame:
    columns = zip(FRAMES.items(), zip(*rows, strict=True), strict=True)
    return pl.DataFrame([pl.Series(name, values, kind) for (name, kind), values in columns])
