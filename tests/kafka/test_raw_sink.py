"""The sink of raw topics, and frames read back from them, on a real broker."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from candlewax.core.batch import UNKNOWN_EXCHANGE, Batch
from candlewax.core.frames import FrameBatch, InvalidUtf8Frames
from candlewax.core.instruments import Instruments
from candlewax.core.schema import FRAMES
from candlewax.kafka import raw_messages, topics
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.producer import DeliveryError, ReliableProducer
from candlewax.kafka.raw_sink import RawFrameProducer, RawTopicSink
from candlewax.kafka.source import PartitionMessages
from candlewax.pipeline.steps.route import RouteStep
from candlewax.runtime.counters import Counters
from tests.support.kafka import reading

KRAKEN = "market.crypto.trades.kraken.raw"
NOW_S = int(time.time())
"""The present, as the broker deletes by its clock messages older than the retention."""

DAY_S = 86_400

Row = tuple[int, str, int, str]


def received(rows: Sequence[Row], exchange: str = "kraken") -> FrameBatch:
    return FrameBatch(exchange, pl.DataFrame(rows, schema=FRAMES, orient="row"))


@pytest.fixture
def outbox(broker: KafkaClient) -> ReliableProducer:
    """A producer on a broker that has the topics."""
    broker.create(topics.required_topics(["kraken", "binance"], 3, 1))
    return ReliableProducer(broker)


@pytest.fixture
def frames(broker: KafkaClient, outbox: ReliableProducer) -> RawFrameProducer:
    """A producer of frames at a fixed time."""
    return RawFrameProducer(broker, outbox, Counters(), lambda: NOW_S + 0.5)


def consumed(servers: str, topic: str = KRAKEN) -> list[PartitionMessages]:
    """Read all messages of a topic, as the source emits them."""
    by_partition: dict[int, list[Any]] = {}
    for message in reading.read_all(servers, topic):
        by_partition.setdefault(message.partition() or 0, []).append(message)
    return [PartitionMessages(topic, number, messages) for number, messages in by_partition.items()]


TEXTS = ["{}", "", "\0", '{"é":"\u2028\\n\t"}', "x" * topics.MAX_MESSAGE_BYTES, "\U0001f56f"]


def test_raw_frames_arrive_verbatim(frames: RawFrameProducer, servers: str) -> None:
    """With the documented key, headers, time and partition."""
    sent = [(NOW_S * 10**9 + n * 1_234_567, f"c{n % 5}", n, text) for n, text in enumerate(TEXTS)]
    sent.append((NOW_S * 10**9 + 999, "c1", 2**64 - 1, "last"))
    frames.send(received(sent))
    frames.flush()
    arrived = reading.read_all(servers, KRAKEN)
    by_seq = {dict(m.headers() or [])["seq"]: m for m in arrived}
    assert len(by_seq) == len(arrived) == len(sent)
    for recv_ns, connection, seq, text in sent:
        message = by_seq[b"%d" % seq]
        assert message.value() == text.encode()
        assert message.key() == connection.encode()
        assert message.headers() == [("recv_ns", b"%d" % recv_ns), ("seq", b"%d" % seq)]
        assert message.timestamp()[1] == recv_ns // 10**6
        assert message.partition() == topics.raw_partition(connection, 3)


def test_raw_frames_are_read_as_sent(frames: RawFrameProducer, servers: str) -> None:
    """With their topic, partition and offset."""
    sent = [(NOW_S * 10**9 + n, f"c{n % 4}", n, f"frame {n}") for n in range(100)]
    frames.send(received(sent))
    frames.flush()
    found = []
    for item in consumed(servers):
        (feed,) = raw_messages.read_frames(item)
        assert isinstance(feed, FrameBatch)
        assert feed.exchange == "kraken"
        places = feed.frames.select("source", "source_partition", "source_offset").rows()
        assert places == [(KRAKEN, item.partition, n) for n in range(len(item.messages))]
        seqs = feed.frames.group_by("connection").agg("seq")["seq"]
        assert all(numbers.is_sorted() for numbers in seqs)
        found += feed.frames.select(*FRAMES).rows()
    assert sorted(found) == sorted(sent)


def test_invalid_utf8_arrives_verbatim(frames: RawFrameProducer, servers: str) -> None:
    """It is read back as invalid UTF-8 with the error."""
    table = received([(NOW_S * 10**9, "c", 1, r"\xff{}")]).frames
    frames.send(InvalidUtf8Frames("kraken", table, [b"\xff{}"], ["why"]))
    frames.flush()
    (item,) = consumed(servers)
    (feed,) = raw_messages.read_frames(item)
    assert isinstance(feed, InvalidUtf8Frames)
    assert list(feed.values) == [b"\xff{}"]
    assert feed.frames["frame"].to_list() == [r"\xff{}"]
    assert "invalid start byte" in feed.details[0]


def test_messages_of_other_programs_are_read_as_frames(
    outbox: ReliableProducer, servers: str
) -> None:
    """With missing or invalid headers, key or value. Their time is that of the message."""
    assert outbox.count_undelivered() == 0
    time_ms = NOW_S * 1000 + 7
    invalid: list[list[tuple[str, str | bytes | None]]] = [
        [],
        [("recv_ns", b"soon"), ("seq", b"-1")],
        [("recv_ns", b"9" * 21), ("seq", None)],
        [("recv_ns", b"%d" % 2**63), ("seq", b"%d" % 2**64)],
        [("seq", "\u0663".encode())],
    ]
    for headers in invalid:
        reading.put(servers, KRAKEN, [b"{}"], None, 0, headers, time_ms)
    reading.put(servers, KRAKEN, [None, b"", b"\xff"], b"\xffkey", 0, [("seq", b"77")], time_ms)
    (item,) = consumed(servers)
    feeds = raw_messages.read_frames(item)
    assert [type(feed) for feed in feeds] == [FrameBatch, InvalidUtf8Frames]
    table = pl.concat(
        [feed.frames for feed in feeds if isinstance(feed, FrameBatch | InvalidUtf8Frames)]
    )
    assert table["recv_ns"].to_list() == [time_ms * 10**6] * 8
    assert table["seq"].to_list() == [0, 1, 2, 3, 4, 77, 77, 77]
    assert table["connection"].to_list() == [""] * 5 + [r"\xffkey"] * 3
    assert table["frame"].to_list() == ["{}"] * 5 + ["", "", r"\xff"]
    assert table["source_offset"].to_list() == list(range(8))


SWAPPED: list[tuple[str, str | bytes | None]] = [("seq", b"5"), ("recv_ns", b"7")]
MORE: list[tuple[str, str | bytes | None]] = [("recv_ns", b"7"), ("seq", b"5"), ("more", b"")]


@pytest.mark.parametrize("headers", [SWAPPED, MORE], ids=["swapped", "more"])
@pytest.mark.usefixtures("outbox")
def test_headers_are_read_by_name(
    servers: str, headers: list[tuple[str, str | bytes | None]]
) -> None:
    """In any order and beside others, also between messages with our headers."""
    ours: list[tuple[str, str | bytes | None]] = [("recv_ns", b"3"), ("seq", b"4")]
    for own in (ours, headers, ours):
        reading.put(servers, KRAKEN, [b"{}"], b"c", 0, own, NOW_S * 1000)
    (item,) = consumed(servers)
    (feed,) = raw_messages.read_frames(item)
    assert isinstance(feed, FrameBatch)
    assert feed.frames.select("recv_ns", "seq").rows() == [(3, 4), (7, 5), (3, 4)]


@pytest.mark.parametrize("odd", [b"{}", b"\xff"], ids=["all frames", "not all frames"])
@pytest.mark.usefixtures("outbox")
def test_messages_read_in_pieces_equal_those_read_at_once(servers: str, odd: bytes) -> None:
    """Even if one has other headers or is not UTF-8."""
    ours: list[tuple[str, str | bytes | None]] = [("recv_ns", b"3"), ("seq", b"4")]
    for headers, value in ((ours, b"[1]"), (ours, b"[2]"), (SWAPPED, odd), (ours, b"[3]")):
        reading.put(servers, KRAKEN, [value], b"c", 0, headers, NOW_S * 1000)
    (item,) = consumed(servers)
    pieces = [replace(item, messages=item.messages[place : place + 1]) for place in range(4)]
    feeds = raw_messages.join_frames([raw_messages.read_frames(piece) for piece in pieces])
    frames = pl.concat(
        [feed.frames for feed in feeds if isinstance(feed, FrameBatch | InvalidUtf8Frames)]
    )
    assert frames["source_offset"].to_list() == [0, 1, 2, 3]
    assert frames["seq"].to_list() == [4, 4, 5, 4]
    assert frames["frame"].to_list() == ["[1]", "[2]", {b"{}": "{}"}.get(odd, r"\xff"), "[3]"]
    kinds = (
        [FrameBatch] if odd == b"{}" else [FrameBatch, FrameBatch, InvalidUtf8Frames, FrameBatch]
    )
    assert [type(feed) for feed in feeds] == kinds


def test_retention_is_extended_for_replayed_frames(
    broker: KafkaClient, frames: RawFrameProducer, servers: str
) -> None:
    """A recording older than the retention extends it, so its frames are kept."""
    old = (NOW_S - 100 * DAY_S) * 10**9
    frames.send(received([(old, "c", 1, "old")]))
    frames.flush()
    normal = str(topics.RAW_RETENTION_MS)
    reading.until(lambda: reading.config(servers, KRAKEN)["retention.ms"] != normal)
    kept = int(reading.config(servers, KRAKEN)["retention.ms"])
    assert kept >= 107 * DAY_S * 1000
    frames.send(received([(old + DAY_S * 10**9, "c", 2, "less old")]))
    frames.send(received([(NOW_S * 10**9, "c", 3, "new")], "binance"))
    frames.flush()
    assert int(reading.config(servers, KRAKEN)["retention.ms"]) == kept
    binance = reading.config(servers, topics.raw("binance"))
    assert int(binance["retention.ms"]) == topics.RAW_RETENTION_MS
    assert broker.partitions(KRAKEN) == 3


def test_broker_keeps_replayed_frames(
    broker: KafkaClient, outbox: ReliableProducer, servers: str
) -> None:
    """Frames as old as the epoch, which the broker would otherwise delete at once."""
    reading.put(servers, topics.raw("binance"), [b"a"], b"c", 0, [], 1000)
    reading.until(lambda: reading.ends(servers, topics.raw("binance"))[0] == (1, 1))
    frames = RawFrameProducer(broker, outbox, Counters())
    frames.send(received([(n * 10**9, "c", n, "x") for n in range(50)]))
    frames.flush()
    # The deletion in the other topic shows that the broker has applied its retention.
    reading.put(servers, topics.raw("binance"), [b"b"], b"c", 0, [], 1000)
    reading.until(lambda: reading.ends(servers, topics.raw("binance"))[0] == (2, 2))
    assert len(reading.read_all(servers, KRAKEN)) == 50


def test_frames_of_a_clock_that_is_ahead_are_sent(frames: RawFrameProducer, servers: str) -> None:
    """With a time that the broker accepts; the header keeps the received one."""
    ahead = (NOW_S + 90 * DAY_S) * 10**9
    frames.send(received([(ahead, "c", 1, "x")]))
    frames.flush()
    (message,) = reading.read_all(servers, KRAKEN)
    assert message.timestamp()[1] < (NOW_S + DAY_S) * 1000
    assert dict(message.headers() or [])["recv_ns"] == b"%d" % ahead


def test_snapshot_of_the_sink_flushes_all_before(frames: RawFrameProducer, servers: str) -> None:
    """An error of the delivery is raised by the snapshot."""
    ended: list[int] = []
    sink = RawTopicSink(["kraken", UNKNOWN_EXCHANGE], frames, pytest.fail, lambda: ended.append(1))
    assert sink.list_parts() == [UNKNOWN_EXCHANGE, "kraken"]
    assert [sink.part_fn(name) for name in sink.list_parts()] == [0, 1]
    part = sink.build_part("", "kraken", None)
    part.write_batch([received([(NOW_S * 10**9, "c", n, "x")]) for n in range(50)])
    part.snapshot()
    assert len(reading.read_all(servers, KRAKEN)) == 50
    reading.delete_topics(servers)
    reading.create(servers, KRAKEN, {"max.message.bytes": "100"})
    part.write_batch([received([(NOW_S * 10**9, "c", 50, "".join(map(str, range(999))))])])
    with pytest.raises(DeliveryError):
        part.snapshot()
    assert ended == []
    part.close()
    assert ended == [1]


def test_frame_beyond_the_message_size_goes_to_the_fallback() -> None:
    """As a dead letter with its reason; other frames are sent."""
    counters = Counters()
    route = RouteStep(Instruments({}), ["kraken"], counters)
    rows_in: list[Row] = [(1, "c", 1, "x"), (2, "c", 2, "é" * (topics.MAX_MESSAGE_BYTES // 2 + 1))]
    (fallback, letters), (key, kept) = route(received(rows_in))
    assert (fallback, key) == (UNKNOWN_EXCHANGE, "kraken")
    assert isinstance(letters, Batch)
    assert letters.tables["dead_letters"]["reason"].to_list() == ["too_large"]
    assert isinstance(kept, FrameBatch)
    assert kept.frames.rows() == rows_in[:1]
    assert [key for key, _ in route(received(rows_in[1:]))] == [UNKNOWN_EXCHANGE]
    assert route(received(rows_in, "binance")) == []
    assert counters.total("skipped", "binance") == 2
    ((key, letters),) = route(received(rows_in[:1], "nasdaq"))
    assert key == UNKNOWN_EXCHANGE
    assert isinstance(letters, Batch)
    assert letters.tables["dead_letters"]["reason"].to_list() == ["unknown_exchange"]
