"""The broker: Kafka, or Redpanda, which speaks the same protocol."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from candlewax._readers import KAFKA
from candlewax.settings import PREFIX, Brokers
from candlewax.topics import MOST_BYTES, Topic, wanted

BUFFER_BYTES: Final = 256 << 20
"""What a producer holds while the broker is away."""

_BUFFER_MESSAGES: Final = 2_000_000

_SECONDS: Final = 30.0
"""How long a broker may take to answer at the start."""

_log = logging.getLogger("candlewax.broker")

# Of clients that speak of themselves only while somebody polls them.
_quiet = logging.getLogger("candlewax.broker.client")


T = TypeVar("T")


class BrokerError(RuntimeError):
    """The broker cannot be used; the text says which and why."""


class Broker:
    """A broker as the settings name it."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers

    def __str__(self) -> str:
        return str(self._brokers)

    def create(self, topics: Iterable[Topic]) -> None:
        """Create the topics that are absent; the others stay as they are.

        Raises BrokerError, also if no broker answers.
        """
        admin = self._admin()
        there = self._topics(admin)
        absent = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=-1,
                config={
                    "retention.ms": str(topic.retention_ms),
                    "compression.type": "lz4",
                    "max.message.bytes": str(MOST_BYTES + (1 << 20)),
                },
            )
            for topic in topics
            if topic.name not in there
        ]
        for name, done in (admin.create_topics(absent) if absent else {}).items():
            try:
                done.result(timeout=_SECONDS)
            except KafkaException as error:
                # Several processes start at once.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"{self}: topic {name}: {error.args[0].str()}") from error

    def keep(self, topic: str, retention_ms: int) -> None:
        """Let a topic keep its messages at least so long. Raises BrokerError."""
        admin = self._admin()
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        try:
            (described,) = admin.describe_configs([resource]).values()
            now = int(described.result(timeout=_SECONDS)["retention.ms"].value)
            if 0 <= now < retention_ms:
                entry = ConfigEntry(
                    "retention.ms", str(retention_ms), incremental_operation=AlterConfigOpType.SET
                )
                wanted = ConfigResource(
                    ConfigResource.Type.TOPIC, topic, incremental_configs=[entry]
                )
                (done,) = admin.incremental_alter_configs([wanted]).values()
                done.result(timeout=_SECONDS)
        except KafkaException as error:
            raise BrokerError(f"{self}: retention of {topic}: {error.args[0].str()}") from error

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises BrokerError."""
        there = self._topics(self._admin())
        if topic not in there:
            raise BrokerError(f"{self}: there is no topic {topic}; candlewax init makes it")
        return there[topic]

    def _topics(self, admin: AdminClient) -> dict[str, int]:
        try:
            found = admin.list_topics(timeout=_SECONDS)
        except KafkaException as error:
            raise BrokerError(f"{self}: no broker answers: {error.args[0].str()}") from error
        return {name: len(topic.partitions) for name, topic in found.topics.items()}

    def _admin(self) -> AdminClient:
        return self._made(AdminClient, {"logger": _quiet})

    def producer(self, on_error: Callable[[KafkaError], None]) -> Producer:
        """A producer that delivers each message once and in order, and never gives up."""
        return self._made(
            Producer,
            {
                "enable.idempotence": True,
                "acks": "all",
                # Whoever waits for a delivery decides how long.
                "message.timeout.ms": 0,
                "delivery.report.only.error": True,
                "compression.type": "lz4",
                "linger.ms": 2,
                "message.max.bytes": MOST_BYTES + (1 << 20),
                "queue.buffering.max.messages": _BUFFER_MESSAGES,
                "queue.buffering.max.kbytes": BUFFER_BYTES >> 10,
                "error_cb": on_error,
                "logger": _log,
            },
        )

    def consumer(self, group: str, on_error: Callable[[KafkaError], None]) -> Consumer:
        """A consumer by assignment; `group` is where lag tools find its offsets."""
        return self._made(
            Consumer,
            {
                "group.id": group,
                "enable.auto.commit": False,
                # An offset that is gone is an error, never a leap to the end.
                "auto.offset.reset": "error",
                "enable.partition.eof": False,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
                "error_cb": on_error,
                "logger": _log,
            },
        )

    def _made(self, client: Callable[[dict[str, Any]], T], own: dict[str, Any]) -> T:
        """A client. Raises BrokerError, naming the setting that librdkafka refuses."""
        given = dict(self._brokers.properties)
        for name in given:
            _check(name, given)
        try:
            # The user's go before what is only a good default.
            return client({**own, **given, "bootstrap.servers": self._brokers.servers})
        except KafkaException as error:
            # Properties that do not fit together, or files that are not there.
            names = ", ".join(map(_setting, given))
            raise BrokerError(f"{names or self}: {error.args[0].str()}") from None


def _setting(name: str) -> str:
    return f"{PREFIX}{KAFKA}{name.upper().replace('.', '_')}"


def create_topics(broker: Broker, brokers: Brokers, exchanges: tuple[str, ...]) -> None:
    """Create the topics of these exchanges where they are absent. Raises BrokerError."""
    broker.create(wanted(exchanges, brokers.raw_partitions, brokers.normalized_partitions))


def _check(name: str, given: dict[str, str]) -> None:
    """A property by itself, unless it only makes sense beside others."""
    text = "No such configuration property"
    try:
        # The one name that is the Python client's own.
        if name != "logger":
            Producer({"log_level": 0, name: given[name]})
            return
    except (KafkaException, ValueError, TypeError) as error:
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
    if "No such configuration property" in text:
        raise BrokerError(f"{_setting(name)}: {name} is no property of librdkafka")
    if "Invalid value" in text:
        raise BrokerError(f"{_setting(name)}: {name} is a value librdkafka refuses")
