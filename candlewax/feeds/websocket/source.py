"""Bytewax source of the frames of the exchanges' websockets."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.core.frames import SourceItem
from candlewax.core.shards import WHOLE, Shard
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.frame_buffer import (
    BUFFER_BYTES,
    FrameQueue,
    FrameRecorder,
    MemoryBudget,
    is_event,
    to_source_items,
)
from candlewax.feeds.websocket.connection_keeper import ConnectionKeeper
from candlewax.feeds.websocket.event_loop import EventLoopThread
from candlewax.feeds.websocket.pacing import ConnectionTimeouts
from candlewax.feeds.websocket.shares import Share, divide, rearrange
from candlewax.runtime import metrics
from candlewax.runtime.connection_status import ConnectionStatus
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import EmitGate
from candlewax.runtime.poll_timer import ALWAYS, RETRY, PollGroup, PollTimer, worker_group

MAX_FRAMES: Final = 20_000
"""Largest number of frames in a batch."""

MAX_WAIT: Final = timedelta(milliseconds=20)
"""Time between two batches: a batch of a few frames costs about as much as a full one."""


class _WebSocketPartition(StatefulSourcePartition[SourceItem, None]):
    def __init__(
        self, exchange: str, queue: FrameQueue, event_loop: EventLoopThread,
        release: Callable[[], None], should_stop: Callable[[], bool],
        may_emit: Callable[[], bool], max_wait: timedelta, group: PollGroup,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._queue = queue
        self._event_loop = event_loop
        self._release = release
        self._should_stop = should_stop
        self._may_emit = may_emit
        self._max_wait = max_wait
        self.poll_timer = PollTimer(group, lambda: bool(queue.rows) or event_loop.is_over)

    def next_batch(self) -> Iterable[SourceItem]:
        if self._should_stop():
            self._event_loop.end()
        elif not self.poll_timer.is_due():
            return []
        if not self._may_emit():
            self.poll_timer.schedule(RETRY)
            return []
        # Read before the queue: if the thread has ended, the queue holds all that is left.
        ended = self._event_loop.ended
        rows = self._queue.take(MAX_FRAMES)
        if rows:
            self.poll_timer.mark_emitted()
        self.poll_timer.schedule(None if len(rows) == MAX_FRAMES else self._max_wait)
        if ended and not rows:
            raise StopIteration
        if rows and not is_event(rows[-1]):
            metrics.set_last_received(self._exchange, rows[-1][0] / 1e9)
        return to_source_items(self._exchange, rows)

    def next_awake(self) -> datetime | None:
        return ALWAYS

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self.poll_timer.close()
        self._release()


class WebSocketSource(FixedPartitionedSource[SourceItem, None]):
    """Source of websocket frames.

    `plan` lists the native symbols to subscribe to by exchange. `urls` replaces addresses of
    exchanges, `per_connection` lowers the number of markets of a connection, `rules` replaces
    the rules of exchanges. `shard_of` returns the shard of an exchange's native symbol: each
    connection serves one shard. `connection_status` follows which connections are open. `emit_gate`
    holds frames back under backpressure; `max_wait` is the time between two batches.

    Emits `FrameBatch` and `InvalidUtf8Frames`. An event of a connection is a frame among its
    others, {"candlewax":"disconnected",...}.

    Delivery: at most once. A websocket repeats nothing, so frames are lost if they are sent while
    the process is down, or had not reached the writer's journal when it died. Within a process a
    connection is replaced only once its successor is subscribed, so trades may be received twice.
    Unit of parallelism: a connection with its share of an exchange's markets. One thread runs all
    connections of a process and puts frames into bounded queues; if they are full, frames are
    dropped and counted.
    Ends once `should_stop` is true, after all received frames are emitted. Raises EventLoopError.
    """

    def __init__(
        self,
        plan: Mapping[str, Sequence[str]],
        urls: Mapping[str, str],
        counters: Counters,
        should_stop: Callable[[], bool],
        *,
        per_connection: Mapping[str, int] | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        rules: Mapping[str, WebSocketRules] | None = None,
        timeouts: ConnectionTimeouts | None = None,
        connection_status: ConnectionStatus | None = None,
        emit_gate: EmitGate | None = None,
        max_wait: timedelta | None = None,
        shard_of: Callable[[str, str], Shard] = lambda *_: WHOLE,
    ) -> None:
        self._rules = {name: exchange.live for name, exchange in EXCHANGES.items()}
        self._rules |= rules or {}
        self._urls = {name: each.url for name, each in self._rules.items()} | dict(urls)
        self._sizes = {
            name: min(each.symbols_per_connection, (per_connection or {}).get(name, 1 << 30))
            for name, each in self._rules.items()
        }
        self._shard_of = shard_of
        self._lock = threading.Lock()
        """Guards the shares and what is built of them; `change` comes from another thread."""
        self._shares = divide(plan, self._sizes, shard_of)
        self._parts = tuple(self._shares)
        self._queues: dict[str, FrameQueue] = {}
        self._keepers: dict[str, ConnectionKeeper] = {}
        self._counters = counters
        self._should_stop = should_stop
        self._emit_gate = emit_gate or EmitGate()
        self._max_wait = max_wait or MAX_WAIT
        self._timeouts = timeouts or ConnectionTimeouts()
        self._memory_budget = MemoryBudget(buffer_bytes)
        self._event_loop = EventLoopThread()
        self._connection_status = connection_status or ConnectionStatus()

    def list_parts(self) -> list[str]:
        return list(self._parts)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _WebSocketPartition:
        group = worker_group()
        queue = self._memory_budget.create_queue(group.wake)
        self._event_loop.join()
        with self._lock:
            share = self._shares[for_part]
            self._queues.setdefault(share.exchange, queue)
            for name in (for_part, *(self._shares.keys() - set(self._parts))):
                # The second ones were added before the first part of their exchange was built.
                is_own = self._shares[name].exchange == share.exchange
                if is_own and name not in self._keepers and self._shares[name].native_symbols:
                    self._keep(name, self._shares[name], queue)
        release, max_wait = self._release, self._max_wait
        may_emit = self._emit_gate.for_partition()
        return _WebSocketPartition(
            share.exchange, queue, self._event_loop, release, self._should_stop, may_emit, max_wait,
            group,
        )  # fmt: skip

    def _keep(self, name: str, share: Share, queue: FrameQueue) -> None:
        """Start to keep a share connected, with its frames in a queue of its exchange."""
        exchange, rules = share.exchange, self._rules[share.exchange]
        on_event = self._connection_status.register(exchange, name)
        first, second = (
            FrameRecorder(exchange, each, queue, self._memory_budget, self._counters, on_event)
            for each in (name, f"{name}b")
        )
        keeper = self._keepers[name] = ConnectionKeeper(
            rules,
            self._urls[exchange],
            list(share.native_symbols),
            (first, second),
            self._timeouts,
        )
        self._event_loop.add(exchange, rules, keeper)

    def change(self, plan: Mapping[str, Sequence[str]]) -> list[str]:
        """Subscribe to other markets: new ones at connections with room or at new connections.

        Connections whose markets change are replaced by successors that are subscribed before.
        Return the exchanges that cannot be read, as they have no partition.
        """
        unread = []
        with self._lock:
            for exchange in {**self._sizes, **plan}:
                changed = rearrange(
                    self._shares, exchange, plan.get(exchange, ()), self._sizes[exchange],
                    self._shard_of,
                )  # fmt: skip
                if changed and not any(
                    self._shares[part].exchange == exchange for part in self._parts
                ):
                    unread.append(exchange)
                    continue
                for name, share in changed.items():
                    self._change_share(name, share)
        return unread

    def _change_share(self, name: str, share: Share) -> None:
        self._shares[name] = share
        keeper, queue = self._keepers.get(name), self._queues.get(share.exchange)
        if keeper:
            self._event_loop.change(keeper, list(share.native_symbols))
            if not share.native_symbols:
                del self._keepers[name]
                self._connection_status.forget(name)
        elif queue and name not in self._parts:
            self._keep(name, share, queue)

    def _release(self) -> None:
        self._event_loop.release(self._timeouts.close_s + self._timeouts.open_s)
