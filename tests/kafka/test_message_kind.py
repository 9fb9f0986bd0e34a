"""Kinds of data in messages of topics, on a real broker."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database, DatabaseError
from candlewax.core.frames import InvalidUtf8Frames
from candlewax.core.kind_marks import KIND_TEXTS, REAL, SAMPLE_KIND, SIMULATED
from candlewax.core.trades import messages
from candlewax.kafka import raw_messages, topic_kind, topics
from candlewax.kafka.avro import Avro
from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.producer import ReliableProducer
from candlewax.kafka.raw_sink import RawFrameProducer
from candlewax.kafka.trade_messages import MessageValues
from candlewax.kafka.trade_publisher import TradePublisher
from candlewax.pipeline.data_kind import Guard, claim
from candlewax.pipeline.steps.route import ReadTradesStep
from candlewax.runtime.counters import Counters
from tests.kafka.test_raw_sink import KRAKEN, NOW_S, consumed, received
from tests.kafka.test_trade_publisher import batch
from tests.support.kafka import reading, registry

HERE = Path("/here")

KINDS = [SAMPLE_KIND, SIMULATED, REAL]

OURS: list[tuple[str, str | bytes | None]] = [("recv_ns", b"3"), ("seq", b"4")]


def kinds(servers: str) -> list[tuple[str, str]]:
    """Read the topic of Kraken; return each kind to be admitted, with its place."""
    admitted: list[tuple[str, str]] = []
    for item in consumed(servers):
        assert raw_messages.read_frames(item, lambda kind, where: admitted.append((kind, where)))
    return sorted(admitted)


def send(broker: KafkaClient, *batches: Any, kind: str) -> None:
    """Send frames of a kind."""
    outbox = ReliableProducer(broker)
    frames = RawFrameProducer(broker, outbox, Counters(), kind=kind)
    for batch_ in batches:
        frames.send(batch_)
    frames.flush()


@pytest.mark.parametrize("kind", KINDS)
def test_raw_message_carries_its_kind(broker: KafkaClient, servers: str, kind: str) -> None:
    """In a third header, after the two documented ones."""
    broker.create(topics.required_topics(["kraken"], 1, 1))
    table = received([(NOW_S * 10**9, "c", 1, r"\xff{}")])
    send(broker, table, InvalidUtf8Frames("kraken", table.frames, [b"\xff{}"], ["why"]), kind=kind)
    arrived = reading.read_all(servers, KRAKEN)
    first = [("recv_ns", b"%d" % (NOW_S * 10**9)), ("seq", b"1")]
    assert [message.headers() for message in arrived] == [[*first, ("kind", kind.encode())]] * 2
    assert kinds(servers) == [(kind, f"{KRAKEN}, partition 0, offset 0")]


def test_each_kind_among_raw_messages_is_checked(broker: KafkaClient, servers: str) -> None:
    """Also of invalid UTF-8, between others, and of an unknown kind."""
    broker.create(topics.required_topics(["kraken"], 1, 1))
    rows = received([(NOW_S * 10**9, "c", n, "{}") for n in range(3)])
    send(broker, rows, kind=REAL)
    send(broker, InvalidUtf8Frames("kraken", rows.frames[:1], [b"\xff"], ["why"]), kind=SIMULATED)
    send(broker, rows, kind=REAL)
    assert [kind for kind, _ in kinds(servers)] == [REAL, SIMULATED]
    reading.put(servers, KRAKEN, [b"{}"], b"c", 0, [("kind", b"strange")], NOW_S * 1000)
    assert [kind for kind, _ in kinds(servers)] == [REAL, SIMULATED, "strange"]


def test_raw_messages_without_a_header_have_no_kind(broker: KafkaClient, servers: str) -> None:
    """Except for our own events of connections to the simulator; quoted events do not count."""
    broker.create(topics.required_topics(["kraken"], 1, 1))
    quoted = b'{"event":"{\\"candlewax\\":\\"connected\\",\\"made\\":\\"simulator\\"}"}'
    real = b'{"candlewax":"connected","url":"wss://ws.kraken.com"}'
    reading.put(servers, KRAKEN, [b"{}", quoted, real, None], b"c", 0, OURS, NOW_S * 1000)
    assert kinds(servers) == []
    made = b'{"candlewax":"connected","url":"ws://127.0.0.1:9","made":"simulator"}'
    reading.put(servers, KRAKEN, [made], b"c", 0, OURS, NOW_S * 1000)
    assert [kind for kind, _ in kinds(servers)] == [SIMULATED]


@pytest.mark.parametrize("kind", KINDS)
def test_trade_messages_carry_their_kind(broker: KafkaClient, servers: str, kind: str) -> None:
    """In JSON, once the kind is known."""
    broker.create(topics.required_topics([], 1, 1))
    outbox, known = ReliableProducer(broker), SimpleNamespace(kind="")
    forward = TradePublisher(broker, outbox, known=known)
    forward(batch("kraken", range(1)))
    known.kind = kind
    forward(batch("kraken", range(1, 3)))
    outbox.flush()
    values = [message.value() or b"" for message in reading.read_all(servers, topics.NORMALIZED)]
    assert [json.loads(value).get("kind") for value in values] == [None, kind, kind]
    assert messages.from_json(values).kinds == {kind}
    assert messages.from_json(values[:1]).kinds == frozenset()
    admitted: list[tuple[str, str]] = []
    read = ReadTradesStep(["kraken"], admit=lambda *kind_and_place: admitted.append(kind_and_place))
    ((_, decoded),) = read(MessageValues(topics.NORMALIZED, 0, [5, 6, 7], values))
    assert len(decoded.trades) == 3
    assert admitted == [(kind, f"{topics.NORMALIZED}, partition 0, offset 5")]


def test_avro_trades_carry_their_kind() -> None:
    """Older ones have none."""
    with registry.serving() as schemas:
        avro = Avro(schemas.url)
        trades = batch("kraken", range(2)).trades
        assert avro.decode(avro.encode(trades)).kinds == frozenset()
        marked = trades.with_columns(pl.lit(SIMULATED).alias(messages.KIND_COLUMN))
        decoded = avro.decode(avro.encode(marked))
    assert decoded.faults.is_empty()
    assert decoded.kinds == {SIMULATED}


def test_guard_admits_only_the_kind_of_the_database(tables: Database) -> None:
    """The first kind claims an empty database; others are refused with their place."""
    guard = Guard(tables, HERE, "market")
    assert guard.kind == ""
    with pytest.raises(DatabaseError, match="got data of kind 'strange'"):
        guard("strange", "topic, partition 1, offset 2")
    guard(SIMULATED, "topic, partition 1, offset 2")
    assert guard.kind == SIMULATED
    assert Guard(tables, HERE, "market").kind == SIMULATED
    with pytest.raises(DatabaseError) as refused:
        guard(REAL, "topic, partition 1, offset 7")
    text = str(refused.value)
    assert text.startswith("topic, partition 1, offset 7: /here, database market holds")
    assert KIND_TEXTS[REAL] in text
    assert KIND_TEXTS[SIMULATED] in text
    assert "CANDLEWAX_BROKERS" in text
    guard(SIMULATED, "topic")
    with pytest.raises(DatabaseError):
        claim(tables, HERE, "market", REAL)


@pytest.mark.parametrize("kind", KINDS)
def test_ingest_refuses_topics_of_another_kind(
    broker: KafkaClient, servers: str, kind: str
) -> None:
    """By the last message of each partition. Topics without messages or kind are accepted."""
    exchanges = ["kraken", "binance", "coinbase"]
    broker.create(topics.required_topics(["kraken", "binance"], 3, 1))
    topic_kind.require_kind(broker, exchanges, kind)
    rows = [(NOW_S * 10**9 + n, f"c{n}", n, "{}") for n in range(12)]
    send(broker, received(rows), kind=kind)
    reading.put(servers, topics.raw("binance"), [b"{}"], b"c", 0, OURS, NOW_S * 1000)
    topic_kind.require_kind(broker, exchanges, kind)
    for other in {*KINDS} - {kind}:
        topic_kind.require_kind(broker, ["binance", "coinbase"], other)
        with pytest.raises(BrokerError) as refused:
            topic_kind.require_kind(broker, exchanges, other)
        text = str(refused.value)
        assert f"{KRAKEN}, partition " in text
        assert f"holds {KIND_TEXTS[kind]}; {KIND_TEXTS[other]} would be sent beside it" in text
        assert "CANDLEWAX_BROKERS" in text
