"""Frames between the thread that receives them and the workers that take them."""

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
from candlewax.core.schema import FRAMES
from candlewax.runtime.counters import Counters

BUFFER_BYTES: Final = 256 << 20
"""About how much memory all frames not yet taken may hold."""

ROW_BYTES: Final = 200
"""What a queued frame needs besides its characters."""

EVENT_BYTES: Final = 1 << 20
"""Kept beyond the bound for what happens to connections."""

MOST_SHOWN: Final = 20
"""The most instruments that a line of the log lists."""

Row = tuple[int, str, int, str | bytes]
"""recv_ns, connection, seq, and the frame: bytes if it is no UTF-8."""

_OURS: Final = f'{{"{EVENT}":'
"""What a frame of ours begins with."""

_PROCESS: Final = secrets.token_hex(4)
"""A name for this process that no other one has had."""

_log = logging.getLogger(__name__)


class FrameQueue:
    """Frames of one part: one thread puts them in, another one takes them."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque()
        self.taken = 0
        """How much was ever taken, in bytes."""

    def take(self, most: int) -> list[Row]:
        """The frames that came first."""
        rows = self.rows
        taken = [rows.popleft() for _ in range(min(len(rows), most))]
        self.taken += sum(len(row[3]) for row in taken) + ROW_BYTES * len(taken)
        return taken


class MemoryBudget:
    """The memory that all queues share; only the receiving thread asks for it."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._put = 0
        self._limit = bound
        self._queues: list[FrameQueue] = []

    def queue(self) -> FrameQueue:
        """A new queue."""
        queue = FrameQueue()
        self._queues.append(queue)
        return queue

    def reserve(self, size: int, reserve: int = 0) -> bool:
        """Whether there is room for so many bytes, which are then put."""
        put = self._put + size
        if put > self._limit + reserve:
            self._limit = self._bound + sum(queue.taken for queue in self._queues)
            if put > self._limit + reserve:
                return False
        self._put = put
        return True

    @property
    def has_recovered(self) -> bool:
        """Whether an eighth of it is free: not every other frame is to say what is lost."""
        self._limit = self._bound + sum(queue.taken for queue in self._queues)
        return self._put <= self._limit - self._bound // 8


class FrameRecorder:
    """All that comes on connections of one name, numbered for the life of the process.

    Used by the receiving thread only. What finds no room is lost, and said to be.
    """

    def __init__(
        self,
        exchange: str,
        name: str,
        queue: FrameQueue,
        room: MemoryBudget,
        tally: Counters,
        hear: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`hear` is told the kind of each event."""
        self.name = name
        self._hear = hear
        self._exchange = exchange
        self._queue = queue
        self._room = room
        self._tally = tally
        self._seq = 0
        self._lost = 0

    def receive(self, data: bytes) -> str:
        """Queue a message that has just come; gives its text, none if it is no UTF-8."""
        recv_ns = time.time_ns()
        try:
            frame: str | bytes = data.decode()
        except UnicodeDecodeError:
            frame = data
        if self._lost:
            self.report_dropped()
        if self._lost or not self._room.reserve(len(frame) + ROW_BYTES):
            self._lose()
        else:
            self._queue.rows.append((recv_ns, self.name, self._seq, frame))
            self._seq += 1
        return frame if isinstance(frame, str) else ""

    def event(self, kind: str, *, warn: bool = True, **facts: object) -> None:
        """Say what happened: a frame of ours, a line of the log, a count."""
        content = {
            EVENT: kind,
            "exchange": self._exchange,
            "connection": self.name,
            PROCESS: _PROCESS,
            **{name: fact for name, fact in facts.items() if fact is not None},
        }
        self._tally.increment(1, "connections", self._exchange, kind)
        self._hear(kind)
        said = ", ".join(f"{name} {format_fact(fact)}" for name, fact in facts.items() if fact)
        level = logging.WARNING if warn else logging.INFO
        _log.log(level, "%s: %s%s", self.name, kind, said and f": {said}")
        frame = json.dumps(content, separators=(",", ":"))
        if self._room.reserve(len(frame) + ROW_BYTES, EVENT_BYTES):
            self._queue.rows.append((time.time_ns(), self.name, self._seq, frame))
            self._seq += 1
        else:
            self._lose()

    def _lose(self) -> None:
        # Counted at once: who watches is to see it while it goes on.
        self._lost += 1
        self._tally.increment(1, "lost", self._exchange)

    def report_dropped(self, *, last: bool = False) -> None:
        """Say how many frames were lost as soon as there is room again, or at last."""
        if self._lost and (last or self._room.has_recovered):
            lost, self._lost = self._lost, 0
            self.event("overflow", lost=lost)
            if self._lost:
                # That found no room, either.
                self._lost += lost


def is_event(row: Row) -> bool:
    """Whether this is a frame of ours."""
    return isinstance(row[3], str) and row[3].startswith(_OURS)


def format_fact(fact: object) -> str:
    """A fact as a log line shows it."""
    if isinstance(fact, list | tuple):
        more = f" and {len(fact) - MOST_SHOWN} more" if len(fact) > MOST_SHOWN else ""
        return " ".join(map(str, fact[:MOST_SHOWN])) + more
    return f"{fact:.1f}" if isinstance(fact, float) else str(fact)


def redact_url(url: str) -> str:
    """The address without what may be secret in it."""
    parts = urlsplit(url)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port else "")


def feed(exchange: str, rows: list[Row]) -> list[SourceItem]:
    """The frames as a feed emits them, in the order they came."""
    texts = [row for row in rows if isinstance(row[3], str)]
    items: list[SourceItem] = [FrameBatch(exchange, _frames(texts))] if texts else []
    if len(texts) < len(rows):
        items.append(_garbled(exchange, [row for row in rows if not isinstance(row[3], str)]))
    return items


def _garbled(exchange: str, rows: list[Row]) -> InvalidUtf8Frames:
    values = [bytes(row[3]) for row in rows]  # type: ignore[arg-type]
    texts = [value.decode(errors="backslashreplace") for value in values]
    written: list[Row] = [(*row[:3], text) for row, text in zip(rows, texts, strict=True)]
    return InvalidUtf8Frames(
        exchange, _frames(written), values, [_wrong(value) for value in values]
    )


def _wrong(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return str(error)
    return ""


def _frames(rows: Sequence[Row]) -> pl.DataFrame:
    columns = zip(FRAMES.items(), zip(*rows, strict=True), strict=True)
    return pl.DataFrame([pl.Series(name, values, kind) for (name, kind), values in columns])
