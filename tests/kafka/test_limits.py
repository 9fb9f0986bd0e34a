"""Limits of messages, retention, outages and offsets, without a broker."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
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
from candlewax.runtime.poll_timer import PollGroup
from tests.kafka.test_trade_publisher import batch
from tests.support.trade_messages import EPOCH

TOPIC: Final = topics.raw("kraken")
NOW_MS: Final = 1_800_000_000_000
DAY_MS: Final = 86_400_000


@pytest.fixture(autouse=True)
def _own_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources here form a group: those of other tests of this thread may still have input."""
    group = PollGroup()
    monkeypatch.setattr("candlewax.kafka.source.worker_group", lambda: group)


class Message:
    """A message as the broker's client returns it."""

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
    """A producer that records the times of its messages."""

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
        """Report no deliveries."""

    def flush(self) -> None:
        self.flushed += 1

    def send_all(self, *_: object) -> None:
        """Ignore batches: their values are tested where they are encoded."""


class Broker:
    """A client with two partitions of each topic, which records extended retentions."""

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
def test_header_beyond_the_range_of_its_column_is_replaced(
    recv_ns: int, seq: int, expected: tuple[int, int], more: list[tuple[str, bytes]]
) -> None:
    """The time by the broker's, and the number by the offset."""
    headers = [("recv_ns", b"%d" % recv_ns), ("seq", b"%d" % seq), *more]
    messages: Any = [Message(3, headers)]
    (feed,) = raw_messages.read_frames(PartitionMessages(TOPIC, 0, messages))
    assert isinstance(feed, FrameBatch)
    assert feed.frames.select("recv_ns", "seq").rows() == [expected]


def frames(broker: Broker, outbox: Outbox) -> RawFrameProducer:
    """A producer of frames at NOW_MS."""
    client: Any = broker
    producer: Any = outbox
    return RawFrameProducer(client, producer, Counters(), lambda: NOW_MS / 1000)


def received(*times_ms: int) -> FrameBatch:
    """Frames received at these offsets from NOW_MS."""
    rows = [((NOW_MS + at) * 1_000_000, "c", n, "{}") for n, at in enumerate(times_ms)]
    return FrameBatch("kraken", pl.DataFrame(rows, FRAMES, orient="row"))


def test_frame_from_the_future_is_sent_with_a_time_half_an_hour_ahead() -> None:
    """Brokers accept such a time; frames less ahead keep theirs."""
    outbox = Outbox()
    half_an_hour = 1_800_000
    frames(Broker(), outbox).send(received(-5, half_an_hour, half_an_hour + 1, 50 * DAY_MS))
    assert [at - NOW_MS for at in outbox.times] == [-5, half_an_hour, half_an_hour, half_an_hour]


def test_retention_grows_with_the_age_of_replayed_frames() -> None:
    """It is extended if frames are more than a day older than any before."""
    broker = Broker()
    sending = frames(broker, Outbox())
    for age in (DAY_MS, DAY_MS + 1, DAY_MS + 2, 2 * DAY_MS + 1, 2 * DAY_MS + 2):
        sending.send(received(0, -age))
    week = 7 * DAY_MS
    assert broker.kept == [(TOPIC, DAY_MS + 1 + week), (TOPIC, 2 * DAY_MS + 2 + week)]


def test_snapshot_of_the_sink_waits_for_all_deliveries() -> None:
    """It flushes the producer."""
    outbox = Outbox()
    fallback: Any = None
    part = RawTopicSink(["kraken"], frames(Broker(), outbox), fallback).build_part(
        "", "kraken", None
    )
    part.write_batch([received(0)])
    assert outbox.flushed == 0
    part.snapshot()
    assert outbox.flushed == 1


@pytest.mark.parametrize(("ended", "place"), [(9, 1), (10, 1), (11, 2), (20, 2)])
def test_outage_is_carried_by_the_first_trade_received_since_its_end(
    ended: int, place: int
) -> None:
    """Including a trade received in the microsecond in which it ended."""
    made = batch("kraken", range(3))
    at = pl.Series([EPOCH + timedelta(microseconds=10 * n) for n in range(3)], dtype=TIME)
    known = replace(NO_GAPS, outages=pl.DataFrame([(1, ended)], OUTAGES, orient="row"))
    carried: list[Any] = []

    def encode(trades: pl.DataFrame) -> list[bytes]:
        carried.extend(trades[OUTAGES_COLUMN].to_list())
        return [b""] * trades.height

    parts: Any = (Broker(), Outbox(), SimpleNamespace(encode=encode))
    TradePublisher(*parts)(
        replace(made, trades=made.trades.with_columns(received_at=at), gap_state=known)
    )
    assert carried == [[[1, ended]] if n == place else None for n in range(3)]


class Consumer:
    """A consumer of one partition with these offsets, and its first and end offset."""

    def __init__(self, offsets: Sequence[int], low: int, high: int) -> None:
        self._left: list[Any] = [Message(offset) for offset in offsets]
        self._ends = low, high
        self.committed: list[int] = []

    def incremental_assign(self, _: object) -> None:
        """Accept any start."""

    def poll(self, _: float) -> Any:
        return self._left.pop(0) if self._left else None

    def consume(self, *_: object) -> list[Any]:
        taken, self._left = self._left, []
        return taken

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        return self._ends

    def commit(self, offsets: Sequence[Any], **_: object) -> None:
        self.committed += [place.offset for place in offsets]


def source(consumer: Consumer) -> tuple[KafkaSource[Any, Any], Any]:
    """A source of that partition, and its part, which starts at offset 5."""
    offsets = MessageCodec(
        lambda consumed: [message.offset() for message in consumed.messages],
        lambda pieces: [offset for piece in pieces for offset in piece],
    )
    broker: Any = Broker(consumer)
    made = KafkaSource(broker, {TOPIC: [0]}, offsets, "group", lambda: False)
    return made, made.build_part("", f"{TOPIC}:0", 5)


def test_snapshot_resumes_after_the_last_message_read() -> None:
    """An offset is committed once it is durable: one snapshot later."""
    consumer = Consumer([5, 6, 9], 0, 20)
    _, part = source(consumer)
    assert part.snapshot() == 5
    assert list(part.next_batch()) == [5, 6, 9]
    assert part.snapshot() == 10
    assert consumer.committed == [5, 5]
    assert part.snapshot() == 10
    assert consumer.committed == [5, 5, 10]


@pytest.mark.parametrize(
    ("low", "high", "lag"), [(0, 20, 15), (0, 5, 0), (0, 3, 0), (12, 20, 8), (0, -1, None)]
)
def test_lag_counts_kept_messages_that_are_unread(low: int, high: int, lag: int | None) -> None:
    """Without those that the broker has deleted. Before the broker has answered there is no lag."""
    made, _ = source(Consumer([], low, high))
    assert made.lag() == ({} if lag is None else {(TOPIC, 0): lag})
