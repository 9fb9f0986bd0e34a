"""ReliableProducer on a real broker."""

import random
from typing import Any

import pytest

from candlewax.kafka.client import BrokerAwayError, BrokerError, KafkaClient
from candlewax.kafka.producer import DeliveryError, ReliableProducer
from candlewax.kafka.topics import Topic
from candlewax.runtime.settings import Brokers
from tests.support.kafka import reading
from tests.support.ports import free_port

NAME = "market.crypto.trades.test"


class StopAfter:
    """Returns true after so many calls: the process is to stop."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def small_queue(servers: str, **properties: str) -> KafkaClient:
    """A client whose producers queue five messages."""
    named = {name.replace("_", "."): text for name, text in properties.items()}
    return KafkaClient(Brokers(servers, {"queue.buffering.max.messages": "5", **named}))


def send(outbox: ReliableProducer, value: bytes, partition: int = 0, topic: str = NAME) -> None:
    outbox.send(topic, partition, value, "key", 1_750_000_000_123, [("seq", b"1")])


def test_flush_returns_once_all_messages_arrived(broker: KafkaClient, servers: str) -> None:
    """With key, time and headers, in order, in the given partition."""
    broker.create([Topic(NAME, 2, -1)])
    outbox = ReliableProducer(broker)
    for n in range(1000):
        send(outbox, b"%d" % n, partition=n % 2)
    outbox.flush()
    assert outbox.count_undelivered() == 0
    assert reading.ends(servers, NAME) == [(0, 500), (0, 500)]
    arrived = reading.read_all(servers, NAME)
    assert [m.value() for m in arrived] == [
        b"%d" % n for n in [*range(0, 1000, 2), *range(1, 1000, 2)]
    ]
    assert {(m.key(), m.timestamp()[1], str(m.headers())) for m in arrived} == {
        (b"key", 1_750_000_000_123, str([("seq", b"1")]))
    }


def test_full_queue_waits_for_space(broker: KafkaClient, servers: str) -> None:
    """No message is lost, sent one by one or all at once."""
    broker.create([Topic(NAME, 1, -1)])
    outbox = ReliableProducer(small_queue(servers))
    for n in range(30):
        send(outbox, b"%d" % n)
    outbox.send_all(NAME, 0, [{"value": str(n), "key": "k"} for n in range(30, 60)])
    outbox.flush()
    values = sorted(int(m.value() or b"") for m in reading.read_all(servers, NAME))
    assert values == list(range(60))


def test_full_queue_keeps_the_order(broker: KafkaClient, servers: str) -> None:
    """Messages that had to wait follow those that did not."""
    broker.create([Topic(NAME, 1, -1)])
    outbox = ReliableProducer(small_queue(servers))
    for begin in range(0, 200, 50):
        messages: list[dict[str, Any]] = [{"value": str(begin + n)} for n in range(50)]
        outbox.send_all(NAME, 0, messages)
    outbox.flush()
    assert [int(m.value() or b"") for m in reading.read_all(servers, NAME)] == list(range(200))


def test_refusal_of_the_broker_is_raised(broker: KafkaClient, servers: str) -> None:
    """For a message beyond the size limit of the topic, by each later call."""
    reading.create(servers, NAME, {"max.message.bytes": "1000"})
    outbox = ReliableProducer(broker)
    send(outbox, random.Random(1).randbytes(5000))
    for _ in range(2):
        with pytest.raises(DeliveryError, match=r"1 messages were not delivered: .+"):
            outbox.flush()
    with pytest.raises(DeliveryError):
        outbox.poll()
    assert reading.ends(servers, NAME) == [(0, 0)]


def test_refusal_of_the_client_is_raised(broker: KafkaClient) -> None:
    """For a message beyond the size limit of the client."""
    outbox = ReliableProducer(broker)
    with pytest.raises(DeliveryError, match=r"a message for .* was refused: .*"):
        outbox.send_all(NAME, 0, [{"value": b"x" * (20 << 20)}])


def test_missing_topic_is_raised(broker: KafkaClient) -> None:
    """Once the broker has answered that it does not exist."""
    quick = Brokers(str(broker), {"topic.metadata.propagation.max.ms": "100"})
    outbox = ReliableProducer(KafkaClient(quick))
    send(outbox, b"x", topic="market.crypto.trades.nowhere")
    with pytest.raises(DeliveryError, match="Unknown topic"):
        outbox.flush()


def test_missing_partition_is_raised(broker: KafkaClient) -> None:
    """For a number beyond the partitions of the topic."""
    broker.create([Topic(NAME, 1, -1)])
    outbox = ReliableProducer(broker)
    send(outbox, b"x", partition=7)
    with pytest.raises(DeliveryError, match="Unknown partition"):
        outbox.flush()


def test_stop_does_not_wait_for_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error gives the number of undelivered messages."""
    monkeypatch.setattr("candlewax.kafka.producer._STOP_TIMEOUT_S", 0.3)
    outbox = ReliableProducer(KafkaClient(Brokers(f"127.0.0.1:{free_port()}")), StopAfter(3))
    send(outbox, b"x")
    with pytest.raises(DeliveryError, match="1 messages are undelivered at the stop"):
        outbox.flush()


def test_flush_retries_while_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it answers or the process is to stop. Other errors are raised at once."""
    monkeypatch.setattr("candlewax.kafka.producer._RETRY_INTERVAL_S", 0)
    answers: list[int | BrokerError] = [BrokerAwayError("gone"), BrokerAwayError("gone"), 4]

    def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, BrokerError):
            raise answer
        return answer

    unreachable = KafkaClient(Brokers(f"127.0.0.1:{free_port()}"))
    assert ReliableProducer(unreachable).retry_while_unavailable(ask) == 4
    answers += [BrokerAwayError("gone"), BrokerAwayError("still gone"), 5]
    with pytest.raises(BrokerAwayError, match="still gone"):
        ReliableProducer(unreachable, StopAfter(1)).retry_while_unavailable(ask)
    answers[:] = [BrokerError("refused"), 6]
    with pytest.raises(BrokerError, match="refused"):
        ReliableProducer(unreachable).retry_while_unavailable(ask)


def test_stop_ends_a_wait_for_a_full_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits for space ends too."""
    monkeypatch.setattr("candlewax.kafka.producer._STOP_TIMEOUT_S", 0.3)
    outbox = ReliableProducer(small_queue(f"127.0.0.1:{free_port()}"), StopAfter(3))
    with pytest.raises(DeliveryError, match="undelivered at the stop"):
        outbox.send_all(NAME, 0, [{"value": b"x"} for _ in range(50)])
