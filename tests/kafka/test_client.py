"""KafkaClient: topics and their properties, on a real broker."""

import logging
import time
from dataclasses import replace

import pytest

from candlewax.kafka import client as module
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError, KafkaClient, LogRateLimit
from candlewax.kafka.topics import Topic
from candlewax.runtime.settings import Brokers
from tests.support.kafka import reading
from tests.support.ports import free_port

DAY_MS = 24 * 60 * 60 * 1000


def test_topics_are_created_with_the_documented_properties(
    broker: KafkaClient, servers: str
) -> None:
    """Partitions, retention, compression and message size. Creating them again changes nothing."""
    required = topics.required_topics(["kraken", "binance"], 3, 5)
    for _ in range(2):
        broker.create(required)
        assert reading.topics(servers) == {
            "market.crypto.trades.binance.raw": 3,
            "market.crypto.trades.kraken.raw": 3,
            "market.crypto.trades.normalized": 5,
            "market.crypto.trades.dlq": 1,
        }
        for name, days in (("kraken.raw", 7), ("normalized", 2), ("dlq", 30)):
            config = reading.config(servers, f"market.crypto.trades.{name}")
            assert config["retention.ms"] == str(days * DAY_MS)
            assert config["compression.type"] == "lz4"
            assert int(config["max.message.bytes"]) > topics.MAX_MESSAGE_BYTES
        # Other properties for an existing topic are ignored.
        required = [replace(topic, partitions=9, retention_ms=1) for topic in required]


def test_topic_accepts_messages_of_a_clock_that_is_ahead(broker: KafkaClient, servers: str) -> None:
    """By any time; the default limit of a broker is an hour."""
    broker.create(topics.required_topics(["kraken"], 1, 1))
    ahead = int(time.time() * 1000) + 30 * DAY_MS
    reading.put(servers, topics.raw("kraken"), [b"x"], b"c", timestamp=ahead)
    assert reading.ends(servers, topics.raw("kraken")) == [(0, 1)]


def test_topics_are_created_on_a_broker_without_a_limit_of_clocks(
    broker: KafkaClient, servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A property that the broker does not know is not set."""
    monkeypatch.setattr("candlewax.kafka.client._ANY_CLOCK", {"no.such.bound": "1"})
    broker.create(topics.required_topics(["kraken"], 3, 1))
    assert reading.topics(servers)["market.crypto.trades.kraken.raw"] == 3


def test_missing_topics_and_partitions_are_added(broker: KafkaClient, servers: str) -> None:
    """For one more exchange; existing topics keep their partitions."""
    broker.create(topics.required_topics(["kraken"], 1, 1))
    broker.create(topics.required_topics(["kraken", "coinbase"], 2, 2))
    assert reading.topics(servers)["market.crypto.trades.coinbase.raw"] == 2
    assert broker.partitions("market.crypto.trades.kraken.raw") == 1


def test_missing_topic_is_named(broker: KafkaClient, servers: str) -> None:
    """With the command that creates it."""
    with pytest.raises(BrokerError, match=r"there is no topic nowhere; candlewax init makes it"):
        broker.partitions("nowhere")
    assert str(broker) == servers


def test_refusal_of_the_broker_is_raised(broker: KafkaClient) -> None:
    """With the broker's message."""
    with pytest.raises(BrokerError, match=r"topic a b: .+"):
        broker.create([Topic("a b", 1, 1)])
    with pytest.raises(BrokerError, match=r"retention of nowhere: .+"):
        broker.extend_retention("nowhere", 10)


def test_retention_only_ever_grows(broker: KafkaClient, servers: str) -> None:
    """An unlimited retention stays unlimited."""
    name = topics.raw("kraken")
    broker.create([Topic(name, 1, 1000)])
    for requested, kept in ((500, "1000"), (2000, "2000"), (1000, "2000")):
        broker.extend_retention(name, requested)
        reading.until(lambda kept=kept: reading.config(servers, name)["retention.ms"] == kept)  # type: ignore[misc]
    assert reading.config(servers, name)["compression.type"] == "lz4"
    reading.delete_topics(servers)
    broker.create([Topic(name, 1, -1)])
    broker.extend_retention(name, 2000)
    assert reading.config(servers, name)["retention.ms"] == "-1"


def test_unreachable_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a timeout."""
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.3)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerError, match=f"{address}: no broker answers"):
        KafkaClient(Brokers(address)).create([])
    with pytest.raises(BrokerError, match=address):
        KafkaClient(Brokers(address)).partitions("any")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("no.such.thing", "1", "CANDLEWAX_KAFKA_NO_SUCH_THING: .* no property of librdkafka"),
        ("security.protocol", "carrier", "CANDLEWAX_KAFKA_SECURITY_PROTOCOL: .* refuses"),
        ("linger.ms", "soon-secret", "CANDLEWAX_KAFKA_LINGER_MS: .* refuses"),
        ("logger", "secret", "CANDLEWAX_KAFKA_LOGGER: .* no property of librdkafka"),
        ("plugin.library.paths", "/none", "CANDLEWAX_KAFKA_PLUGIN_LIBRARY_PATHS: .*/none"),
    ],
)
def test_property_refused_by_librdkafka_is_named(name: str, text: str, reason: str) -> None:
    """Before any request, and without its value."""
    started = KafkaClient(Brokers("127.0.0.1:1", {name: text}))
    for action in (
        lambda: started.create([]),
        lambda: started.partitions("any"),
        lambda: started.producer(lambda _: None),
        lambda: started.consumer("any", lambda _: None),
    ):
        with pytest.raises(BrokerError, match=reason) as error:
            action()
        assert "secret" not in str(error.value)


def test_conflicting_properties_are_named() -> None:
    """All given ones, as librdkafka does not say which is wrong."""
    given = {"security.protocol": "ssl", "ssl.key.location": "/none", "ssl.key.password": "secret"}
    with pytest.raises(
        BrokerError, match=r"_SSL_KEY_LOCATION, .*: ssl.key.location failed"
    ) as error:
        KafkaClient(Brokers("127.0.0.1:1", given)).create([])
    assert "secret" not in str(error.value)


def test_properties_of_the_user_reach_the_client(servers: str) -> None:
    """They replace our defaults: the client then refuses a message as too large."""
    producer = KafkaClient(Brokers(servers, {"message.max.bytes": "1000"})).producer(lambda _: None)
    with pytest.raises(Exception, match="too large"):
        producer.produce("any", b"x" * 2000)


def test_producer_and_consumer_are_made_without_a_broker() -> None:
    """They connect once it is reachable."""
    client = KafkaClient(Brokers(f"127.0.0.1:{free_port()}"))
    client.consumer("any", lambda _: None).close()
    assert client.producer(lambda _: None).flush(0) == 0


def test_repeated_log_message_is_limited() -> None:
    """Messages that differ only in numbers are the same. One is logged again after 30 seconds."""
    clock = [0.0]
    rate_limit = LogRateLimit(lambda: clock[0])

    def passes(text: str) -> bool:
        return rate_limit.filter(
            logging.LogRecord("x", logging.INFO, "", 0, "said %s", (text,), None)
        )

    assert passes("refused after 1 ms")
    clock[0] = 1.0
    assert not passes("refused after 22 ms")
    assert passes("reset")
    clock[0] = 31.0
    assert passes("refused after 3 ms")
