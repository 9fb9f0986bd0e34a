"""Frames in the raw topics: verbatim, one topic an exchange."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from candlewax.core.batch import NOWHERE, Batch
from candlewax.core.frames import Garbled, Received
from candlewax.kafka import topics
from candlewax.kafka.arrivals import Arrivals
from candlewax.kafka.client import Broker
from candlewax.kafka.producer import Outbox
from candlewax.kafka.raw_messages import KIND, RECV_NS, SEQ
from candlewax.runtime import metrics
from candlewax.runtime.counters import Tally
from candlewax.runtime.errors import tells

Headers = list[tuple[str, str | bytes | None]]

_AHEAD_MS: Final = 1_800_000
"""A broker refuses messages from further in the future."""


class Frames:
    """Sends frames to the raw topics."""

    def __init__(
        self,
        broker: Broker,
        outbox: Outbox,
        tally: Tally,
        now: Callable[[], float] = time.time,
        kind: str = "",
    ) -> None:
        """`kind` is that of all frames; messages tell it if it is known."""
        self._kind: Headers = [(KIND, kind.encode())] if kind else []
        self._broker = broker
        self._outbox = outbox
        self._tally = tally
        self._now = now
        self._arrivals = Arrivals(outbox.waiting, now)
        self._partitions: dict[str, int] = {}
        self._oldest_ms: dict[str, int] = {}

    def send(self, received: Received | Garbled) -> None:
        """Hand frames over; the outbox knows when they have arrived."""
        exchange, frames = received.exchange, received.frames
        topic, latest_ms = topics.raw(exchange), int(self._now() * 1000)
        oldest_ns = int(frames["recv_ns"].min())  # type: ignore[arg-type]
        self._keep(topic, oldest_ns // 1_000_000, latest_ms)
        values = (
            received.values
            if isinstance(received, Garbled)
            else [frame.encode() for frame in frames["frame"]]
        )
        rows = frames.select("recv_ns", "connection", "seq").iter_rows()
        for (recv_ns, connection, seq), value in zip(rows, values, strict=True):
            when = min(recv_ns // 1_000_000, latest_ms + _AHEAD_MS)
            headers: Headers = [
                (RECV_NS, b"%d" % recv_ns),
                (SEQ, b"%d" % seq),
                *self._kind,
            ]
            partition = self._partition(topic, connection)
            self._outbox.send(topic, partition, value, connection, when, headers)
        self._arrivals.sent(exchange, frames.height, oldest_ns / 1e9)
        self._outbox.poll()
        self._tally.add(frames.height, "frames", exchange)

    def flush(self) -> None:
        """Return when the broker has them all."""
        self._outbox.flush()
        self._arrivals.settle()

    def _partition(self, topic: str, connection: str) -> int:
        if topic not in self._partitions:
            count = self._outbox.patiently(lambda: self._broker.partitions(topic))
            self._partitions[topic] = count
        return topics.raw_partition(connection, self._partitions[topic])

    def _keep(self, topic: str, oldest_ms: int, now_ms: int) -> None:
        """Let the topic keep what is replayed as long as what is new: a broker counts
        from the time a frame was received.
        """
        known = self._oldest_ms.get(topic, now_ms)
        if oldest_ms < known - topics.DAY_MS:
            self._oldest_ms[topic] = oldest_ms
            kept = now_ms - oldest_ms + topics.RAW_RETENTION_MS
            self._outbox.patiently(lambda: self._broker.keep(topic, kept))


@tells
class _Frames(StatefulSinkPartition[Received | Garbled, None]):
    def __init__(self, frames: Frames, on_close: Callable[[], None]) -> None:
        self._frames = frames
        self._on_close = on_close

    def write_batch(self, values: list[Received | Garbled]) -> None:
        for received in values:
            self._frames.send(received)

    def snapshot(self) -> None:
        self._frames.flush()
        metrics.committed()

    def close(self) -> None:
        self._on_close()


@tells
class _Aside(StatefulSinkPartition[Batch, None]):
    """What no raw topic takes."""

    def __init__(self, open_part: Callable[[], StatefulSinkPartition[Batch, None]]) -> None:
        self._open_part = open_part
        self._part: StatefulSinkPartition[Batch, None] | None = None

    def write_batch(self, values: list[Batch]) -> None:
        self._part = self._part or self._open_part()
        self._part.write_batch(values)

    def snapshot(self) -> None:
        if self._part:
            self._part.snapshot()


@tells
class RawTopics(FixedPartitionedSink[Any, None]):
    """Sends frames to the raw topic of their exchange, and what belongs to none, as
    batches of dead letters, to the tables.

    Unit of parallelism: an exchange. Delivery: what a snapshot covers has arrived, each
    frame once and those of a connection in their order; the frames of an unfinished
    epoch may be sent again by a feed that can repeat them. While the broker is away
    frames wait in memory up to BUFFER_BYTES, then the feed waits.
    """

    def __init__(
        self,
        exchanges: Iterable[str],
        frames: Frames,
        aside: Callable[[], StatefulSinkPartition[Batch, None]],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`aside` opens the part of the tables when it is first needed, `on_end` is called when a
        partition closes.
        """
        self._exchanges = sorted(exchanges)
        self._frames = frames
        self._aside = aside
        self._on_end = on_end

    def list_parts(self) -> list[str]:
        return self._exchanges

    def part_fn(self, item_key: str) -> int:
        return self._exchanges.index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Any:  # noqa: ANN401
        if for_part == NOWHERE:
            return _Aside(self._aside)
        return _Frames(self._frames, self._on_end)
