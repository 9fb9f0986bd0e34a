"""The exchanges' websockets as a source: frames as they come."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.core.frames import SourceItem
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.frame_buffer import (
    BUFFER_BYTES,
    FrameQueue,
    FrameRecorder,
    MemoryBudget,
    feed,
    is_event,
)
from candlewax.feeds.websocket.connection import ConnectionTimeouts
from candlewax.feeds.websocket.event_loop import EventLoopThread
from candlewax.feeds.websocket.shard import Shard
from candlewax.runtime import metrics
from candlewax.runtime.connection_status import ConnectionStatus
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import ALWAYS, PULSE, EmitGate, Looks

BATCH: Final = 20_000
"""The most frames that are taken at once."""

LINGER: Final = timedelta(milliseconds=20)
"""Time between two batches: one of a few frames costs about as much as a full one."""


@dataclass(frozen=True)
class _Share:
    """What one part is to read."""

    exchange: str
    natives: list[str]


class _Part(StatefulSourcePartition[SourceItem, None]):
    def __init__(
        self, exchange: str, queue: FrameQueue, hub: EventLoopThread, leave: Callable[[], None],
        stopping: Callable[[], bool], may: Callable[[], bool], linger: timedelta,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._queue = queue
        self._hub = hub
        self._leave = leave
        self._stopping = stopping
        self._may = may
        self._linger = linger
        self.looks = Looks(PULSE)

    def next_batch(self) -> Iterable[SourceItem]:
        if self._stopping():
            self._hub.end()
        elif not self.looks.due():
            return []
        elif not self._may():
            self.looks.wait(timedelta())
            return []
        # Asked before taking: what is queued by then is all there will be.
        ended = self._hub.ended
        rows = self._queue.take(BATCH)
        self.looks.wait(None if len(rows) == BATCH else self._linger)
        if ended and not rows:
            raise StopIteration
        if rows and not is_event(rows[-1]):
            metrics.received(self._exchange, rows[-1][0] / 1e9)
        if rows:
            self.looks.emitted()
        return feed(self._exchange, rows)

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self._leave()


class WebSocketSource(FixedPartitionedSource[SourceItem, None]):
    """Reads the exchanges' websockets.

    `plan` gives the native symbols to subscribe to by exchange, `urls` the addresses that
    are not the exchanges' own, `per_connection` how many instruments a connection carries
    where not what the exchange allows; `feeds` is told which connections stand. Emits
    `FrameBatch` and `InvalidUtf8Frames`; what happens to a connection is a frame among those it
    brings, {"candlewax":"disconnected",...}.

    Unit of parallelism: a connection with its share of an exchange's instruments. All of
    a process are run by one thread, which puts frames into bounded queues; those that
    find no room are counted and said to be lost.
    Delivery: a websocket cannot repeat, so at most once for what was sent while the
    process was down, or received and not yet stored when it died. Within a process a
    connection is replaced only when its successor delivers, so trades may come twice.
    Ends when `stopping`, after all that was received. Raises EventLoopError.
    """

    def __init__(
        self,
        plan: Mapping[str, Sequence[str]],
        urls: Mapping[str, str],
        tally: Counters,
        stopping: Callable[[], bool],
        *,
        per_connection: Mapping[str, int] | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        lives: Mapping[str, WebSocketRules] | None = None,
        pace: ConnectionTimeouts | None = None,
        feeds: ConnectionStatus | None = None,
        turns: EmitGate | None = None,
        linger: timedelta | None = None,
    ) -> None:
        """What has come stays where it is until its part has its turn, if there are
        `turns`; `linger` is the time between two batches, if not LINGER.
        """
        self._lives = {name: exchange.live for name, exchange in EXCHANGES.items()}
        self._lives |= lives or {}
        self._urls = {name: live.url for name, live in self._lives.items()} | dict(urls)
        self._shares = _shares(plan, self._lives, per_connection or {})
        self._tally = tally
        self._stopping = stopping
        self._turns = turns or EmitGate()
        self._linger = linger or LINGER
        self._pace = pace or ConnectionTimeouts()
        self._room = MemoryBudget(buffer_bytes)
        self._hub = EventLoopThread()
        self._feeds = feeds or ConnectionStatus()

    def list_parts(self) -> list[str]:
        return list(self._shares)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Part:
        share = self._shares[for_part]
        exchange, live = share.exchange, self._lives[share.exchange]
        queue = self._room.queue()
        hear = self._feeds.register(exchange, for_part)
        first, second = (
            FrameRecorder(exchange, name, queue, self._room, self._tally, hear)
            for name in (for_part, f"{for_part}b")
        )
        shard = Shard(live, self._urls[exchange], share.natives, (first, second), self._pace)
        self._hub.add(exchange, live, shard)
        leave, linger = self._leave, self._linger
        may = self._turns.for_partition()
        return _Part(exchange, queue, self._hub, leave, self._stopping, may, linger)

    def _leave(self) -> None:
        self._hub.leave(self._pace.close_s + self._pace.open_s)


def _shares(
    plan: Mapping[str, Sequence[str]], lives: Mapping[str, WebSocketRules], per: Mapping[str, int]
) -> dict[str, _Share]:
    """The instruments of each exchange dealt out to as few connections as allowed."""
    shares = {}
    for exchange, planned in plan.items():
        natives = list(dict.fromkeys(planned))
        size = min(per.get(exchange, lives[exchange].instruments), lives[exchange].instruments)
        count = -(-len(natives) // size)
        for place in range(count):
            shares[f"{exchange}-{place}"] = _Share(exchange, natives[place::count])
    return shares
