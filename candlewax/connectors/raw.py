"""Frames in the raw topics: verbatim, one topic an exchange."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import polars as pl
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import Message
from polars.exceptions import PolarsError

from candlewax import metrics, topics
from candlewax.batch import NOWHERE, Batch
from candlewax.connectors.arrivals import Arrivals
from candlewax.connectors.broker import Broker
from candlewax.connectors.consumer import Consumed, Reading
from candlewax.connectors.producer import Outbox
from candlewax.connectors.sink import Tables
from candlewax.exchanges import EXCHANGES
from candlewax.feed import Feed, Garbled, Received
from candlewax.schema import FRAMES, SOURCE
from candlewax.tally import Tally
from candlewax.telling import tells

_RECV_NS: Final = "recv_ns"
_SEQ: Final = "seq"
"""Headers beside a frame: when it was received, and its number in its connection."""

Headers = list[tuple[str, str | bytes | None]]

_AHEAD_MS: Final = 1_800_000
"""A broker refuses messages from further in the future."""

_EXCHANGE: Final = {topics.raw(exchange): exchange for exchange in EXCHANGES}

_COLUMNS: Final = {**FRAMES, **SOURCE}

_SAME: Final = pl.Series("source_partition", [0], pl.UInt32)


class Frames:
    """Sends frames to the raw topics."""

    def __init__(
        self, broker: Broker, outbox: Outbox, tally: Tally, now: Callable[[], float] = time.time
    ) -> None:
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
            headers: list[tuple[str, str | bytes | None]] = [
                (_RECV_NS, b"%d" % recv_ns),
                (_SEQ, b"%d" % seq),
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

    def __init__(self, tables: Callable[[], Tables]) -> None:
        self._tables = tables
        self._part: StatefulSinkPartition[Batch, None] | None = None

    def write_batch(self, values: list[Batch]) -> None:
        self._part = self._part or self._tables().build_part("", NOWHERE, None)
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
        aside: Callable[[], Tables],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`aside` opens the tables when they are first needed, `on_end` is called when a
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


def read(consumed: Consumed) -> list[Feed]:
    """The frames of messages of a raw topic; FRAMES with SOURCE.

    A message without the headers of a frame was received when the broker says.
    """
    exchange = _EXCHANGE[consumed.topic]
    # The broker has it from us: when the frame was received.
    metrics.received(exchange, consumed.messages[-1].timestamp()[1] / 1000)
    whole = _whole(consumed)
    if whole is not None:
        return [Received(exchange, whole)]
    rows = [_row(consumed, message) for message in consumed.messages]
    texts, garbled = [], []
    for row, message in zip(rows, consumed.messages, strict=True):
        value = message.value() or b""
        try:
            texts.append((*row[:3], value.decode(), *row[3:]))
        except UnicodeDecodeError as error:
            garbled.append((row, value, str(error)))
    found: list[Feed] = []
    if texts:
        found.append(Received(exchange, _frame(texts)))
    if garbled:
        escaped = [
            (*row[:3], value.decode(errors="backslashreplace"), *row[3:])
            for row, value, _ in garbled
        ]
        raws, whys = [value for _, value, _ in garbled], [why for *_, why in garbled]
        found.append(Garbled(exchange, _frame(escaped), raws, whys))
    return found


def join(pieces: Sequence[list[Feed]]) -> list[Feed]:
    """What was read of one topic in pieces, together where it can be."""
    feeds = [feed for piece in pieces for feed in piece]
    whole = [feed for feed in feeds if isinstance(feed, Received)]
    if len(whole) < len(feeds) or len(whole) <= 1:
        return feeds
    return [Received(whole[0].exchange, pl.concat(feed.frames for feed in whole))]


READING: Final = Reading(read, join)
"""Messages of raw topics into frames."""


def _whole(consumed: Consumed) -> pl.DataFrame | None:
    """All messages column by column; None if one is not as we send them."""
    messages: Sequence[Any] = consumed.messages
    try:
        times, places = _headers(messages)
        recv_ns, seq = _numbers("recv_ns", times), _numbers("seq", places)
        if recv_ns is None or seq is None:
            return None
        return pl.DataFrame(
            [
                recv_ns,
                _texts("connection", [message.key() for message in messages]),
                seq,
                _texts("frame", [message.value() for message in messages]),
                pl.Series("source", [consumed.topic]).new_from_index(0, len(messages)),
                _SAME.new_from_index(0, len(messages)) + consumed.partition,
                _offsets(messages),
            ]
        )
    except (TypeError, ValueError, PolarsError):
        return None


def _headers(messages: Sequence[Any]) -> tuple[list[bytes], list[bytes]]:
    """The values of the headers that we send. Raises ValueError where there are others."""
    times: list[bytes] = []
    places: list[bytes] = []
    for message in messages:
        (first, time_), (second, place) = message.headers()
        if first != _RECV_NS or second != _SEQ:
            raise ValueError(first, second)
        times.append(time_)
        places.append(place)
    return times, places


def _numbers(name: str, texts: Sequence[bytes]) -> pl.Series | None:
    """What the texts count; None if one is no plain number. Raises PolarsError where one is
    none at all, TypeError where one is absent.
    """
    if not b"".join(texts).isdigit():
        return None
    return pl.Series(name, texts, pl.Binary, strict=True).cast(pl.String).cast(_COLUMNS[name])


def _texts(name: str, values: Sequence[bytes]) -> pl.Series:
    """Raises PolarsError where one is no UTF-8, TypeError where one is absent."""
    found = pl.Series(name, values, pl.Binary, strict=True).cast(pl.String)
    if found.null_count():
        raise TypeError(f"a message without {name}")
    return found


def _offsets(messages: Sequence[Any]) -> pl.Series:
    first, last = messages[0].offset(), messages[-1].offset()
    if last - first == len(messages) - 1:  # they only grow, so none lies between others
        return pl.int_range(first, last + 1, eager=True, dtype=pl.UInt64).alias("source_offset")
    return pl.Series("source_offset", [message.offset() for message in messages], pl.UInt64)


def _frame(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def _row(consumed: Consumed, message: Message) -> tuple[int, str, int, str, int, int]:
    offset = message.offset() or 0
    headers = dict(message.headers() or ())
    recv_ns = _number(headers.get(_RECV_NS), 2**63)
    if recv_ns is None:
        recv_ns = max(0, message.timestamp()[1]) * 1_000_000
    seq = _number(headers.get(_SEQ), 2**64)
    connection = (message.key() or b"").decode(errors="backslashreplace")
    place = (consumed.topic, consumed.partition, offset)
    return (recv_ns, connection, offset if seq is None else seq, *place)


def _number(text: object, limit: int) -> int | None:
    if isinstance(text, bytes) and text.isdigit() and len(text) <= 20 and int(text) < limit:
        return int(text)
    return None
