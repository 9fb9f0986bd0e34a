"""Frames and trades on their way to topics and back, without a broker: limits and moments."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import polars as pl
import pytest

from candlewax.core.frames import FrameBatch
from candlewax.core.gaps.gap_state import NO_GAPS, OUTAGES
from candlewax.core.schema import FRAMES, TIME
from candlewax.core.trades.messages import OUTAGES_COLUMN
from candlewax.kafka import raw_messages, topics
from candlewax.kafka.raw_sink import RawFrameProducer, RawTopicSink
from candlewax.kafka.source import KafkaSource, MessageCodec, PartitionMessages
from candlewax.kafka.trade_publisher import TradePublisher
from candlewax.runtime.counters import Counters
from tests.kafka.test_trade_publisher import batch
from tests.support.trade_messages import EPOCH

TOPIC: Final = topics.raw("kraken")
NOW_MS: Final = 1_800_000_000_000
DAY_MS: Final = 86_400_000


class Message:
    """A message as the broker's client gives it."""

    def __init__(self, offset: int, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self._offset = offset
        self._headers = list(headers)

    def __len__(self) -> int:
        return 2

    def value(self) -> bytes:
        return b"{}"

    def key(self) -> bytes:
        return b"c"

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 1, NOW_MS

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def error(self) -> None:
        return None


class Outbox:
    """Takes messages: their times, and whole batches."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.flushed = 0

    def send(self, *message: Any) -> None:
        self.times.append(message[4])

    def retry_while_unavailable(self, action: Any) -> Any:
        return action()

    def count_undelivered(self) -> int:
        return len(self.times)

    def poll(self) -> None:
        """Nothing comes back."""

    def flush(self) -> None:
        self.flushed += 1

    def send_all(self, *_: object) -> None:
        """Their values are looked at where they are made."""


class Broker:
    """Two partitions of each topic, and how long topics are asked to keep their messages."""

    def __init__(self, consumer: Any = None) -> None:
        self.kept: list[tuple[str, int]] = []
        self._consumer = consumer

    def partitions(self, _: str) -> int:
        return 2

    def extend_retention(self, topic: str, kept_ms: int) -> None:
        self.kept.append((topic, kept_ms))

    def consumer(self, *_: object) -> Any:
        return self._consumer


@pytest.mark.parametrize("more", [[], [("kind", b"real")]], ids=["of others", "ours"])
@pytest.mark.parametrize(
    ("recv_ns", "seq", "expected"),
    [
        (2**63 - 1, 2**64 - 1, (2**63 - 1, 2**64 - 1)),
        (2**63, 5, (NOW_MS * 1_000_000, 5)),
        (7, 2**64, (7, 3)),
    ],
    ids=["the highest", "a time above", "a number above"],
)
def test_headers_above_what_columns_hold_are_replaced(
    recv_ns: int, seq: int, expected: tuple[int, int], more: list[tuple[str, bytes]]
) -> None:
    """By the broker's time, and by the offset."""
    headers = [("recv_ns", b"%d" % recv_ns), ("seq", b"%d" % seq), *more]
    messages: Any = [Message(3, headers)]
    (found,) = raw_messages.read_frames(PartitionMessages(TOPIC, 0, messages))
    assert isinstance(found, FrameBatch)
    assert found.frames.select("recv_ns", "seq").rows() == [expected]


def frames(broker: Broker, outbox: Outbox) -> RawFrameProducer:
    """What sends frames, at NOW_MS."""
    to: Any = broker
    by: Any = outbox
    return RawFrameProducer(to, by, Counters(), lambda: NOW_MS / 1000)


def received(*times_ms: int) -> FrameBatch:
    """Frames received at some times from NOW_MS."""
    rows = [((NOW_MS + at) * 1_000_000, "c", n, "{}") for n, at in enumerate(times_ms)]
    return FrameBatch("kraken", pl.DataFrame(rows, FRAMES, orient="row"))


def test_frame_from_the_future_is_sent_with_a_time_that_brokers_take() -> None:
    """Half an hour ahead at most; its header tells when it was received."""
    outbox = Outbox()
    half_an_hour = 1_800_000
    frames(Broker(), outbox).send(received(-5, half_an_hour, half_an_hour + 1, 50 * DAY_MS))
    assert [at - NOW_MS for at in outbox.times] == [-5, half_an_hour, half_an_hour, half_an_hour]


def test_topic_keeps_what_is_replayed_as_long_as_what_is_new() -> None:
    """Its retention grows once frames are older than those before by more than a day."""
    broker = Broker()
    sending = frames(broker, Outbox())
    for age in (DAY_MS, DAY_MS + 1, DAY_MS + 2, 2 * DAY_MS + 1, 2 * DAY_MS + 2):
        sending.send(received(0, -age))
    week = 7 * DAY_MS
    assert broker.kept == [(TOPIC, DAY_MS + 1 + week), (TOPIC, 2 * DAY_MS + 2 + week)]


def test_snapshot_covers_frames_that_have_arrived() -> None:
    """It waits until the broker has them all."""
    outbox = Outbox()
    aside: Any = None
    part = RawTopicSink(["kraken"], frames(Broker(), outbox), aside).build_part("", "kraken", None)
    part.write_batch([received(0)])
    assert outbox.flushed == 0
    part.snapshot()
    assert outbox.flushed == 1


@pytest.mark.parametrize(("ended", "place"), [(9, 1), (10, 1), (11, 2), (20, 2)])
def test_outage_is_told_with_the_first_trade_received_since_its_end(ended: int, place: int) -> None:
    """Also with one received in the microsecond in which it ended."""
    made = batch("kraken", range(3))
    at = pl.Series([EPOCH + timedelta(microseconds=10 * n) for n in range(3)], dtype=TIME)
    known = replace(NO_GAPS, outages=pl.DataFrame([(1, ended)], OUTAGES, orient="row"))
    told: list[Any] = []

    def encode(trades: pl.DataFrame) -> list[bytes]:
        told.extend(trades[OUTAGES_COLUMN].to_list())
        return [b""] * trades.height

    parts: Any = (Broker(), Outbox(), encode)
    TradePublisher(*parts)(
        replace(made, trades=made.trades.with_columns(received_at=at), gap_state=known)
    )
    assert told == [[[1, ended]] if n == place else None for n in range(3)]


class Consumer:
    """A partition: its messages by their offsets, and where it begins and ends."""

    def __init__(self, offsets: Sequence[int], low: int, high: int) -> None:
        self._left: list[Any] = [Message(offset) for offset in offsets]
        self._ends = low, high
        self.shown: list[int] = []

    def incremental_assign(self, _: object) -> None:
        """From wherever it is told."""

    def consume(self, *_: object) -> list[Any]:
        taken, self._left = self._left, []
        return taken

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        return self._ends

    def commit(self, offsets: Sequence[Any], **_: object) -> None:
        self.shown += [place.offset for place in offsets]


def source(consumer: Consumer) -> tuple[KafkaSource[Any, Any], Any]:
    """A source of that partition, and its part, which begins at offset 5."""
    offsets = MessageCodec(
        lambda some: [message.offset() for message in some.messages],
        lambda pieces: [offset for piece in pieces for offset in piece],
    )
    broker: Any = Broker(consumer)
    made = KafkaSource(broker, {TOPIC: [0]}, offsets, "group", lambda: False)
    return made, made.build_part("", f"{TOPIC}:0", 5)


def test_source_resumes_behind_what_it_has_read() -> None:
    """Others are shown an offset once it is durable: one snapshot later."""
    consumer = Consumer([5, 6, 9], 0, 20)
    _, part = source(consumer)
    assert part.snapshot() == 5
    assert list(part.next_batch()) == [5, 6, 9]
    assert part.snapshot() == 10
    assert consumer.shown == [5, 5]
    assert part.snapshot() == 10
    assert consumer.shown == [5, 5, 10]


@pytest.mark.parametrize(
    ("low", "high", "lag"), [(0, 20, 15), (0, 5, 0), (0, 3, 0), (12, 20, 8), (0, -1, None)]
)
def test_lag_counts_messages_that_are_there_and_unread(
    low: int, high: int, lag: int | None
) -> None:
    """Not those that the broker has dropped; nothing is known before the broker has told."""
    made, _ = source(Consumer([], low, high))
    assert made.lag() == ({} if lag is None else {(TOPIC, 0): lag})
