"""Client of the broker: Kafka, or Redpanda, which speaks the same protocol."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from candlewax.kafka.topics import MAX_MESSAGE_BYTES, Topic
from candlewax.runtime.setting_names import PREFIX
from candlewax.runtime.setting_parsers import KAFKA
from candlewax.runtime.settings import Brokers

BUFFER_BYTES: Final = 256 << 20
"""Bytes of messages that a producer holds while the broker is unavailable."""

_BUFFER_MESSAGES: Final = 2_000_000

_TIMEOUT_S: Final = 30.0
"""Seconds to wait for an answer of the broker to a request about topics."""

_ANY_CLOCK: Final = {"message.timestamp.after.max.ms": str(2**63 - 1)}
"""Topic property that accepts any message time. By default a broker refuses messages more than
an hour ahead of its clock, so a process whose clock runs ahead could send nothing. Source: Apache
Kafka, "Topic Configs"."""

_CHECK_INTERVAL_S: Final = 0.05
"""Seconds between two requests while a new topic is not visible yet."""

_LOG_INTERVAL_S: Final = 30.0
"""Seconds before a record with the same text is logged again."""


class LogRateLimit(logging.Filter):
    """Filter that passes log records with the same text once in 30 seconds.

    Texts that differ in numbers only count as the same. While a broker is unavailable, clients
    log the same errors in bursts.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._now()
        self._logged_at = {
            text: at for text, at in self._logged_at.items() if now - at < _LOG_INTERVAL_S
        }
        text = re.sub(r"[0-9]+|, 1 identical.*", "", record.getMessage())
        return self._logged_at.setdefault(text, now) == now


log = logging.getLogger("candlewax.broker")
log.addFilter(LogRateLimit())

# For admin clients. A client with a logger logs only while it is polled, and these are never
# polled; without a logger it would print to the standard error.
_admin_log = logging.getLogger("candlewax.broker.client")


T = TypeVar("T")


class BrokerError(RuntimeError):
    """A broker that cannot be used; the message names it and says why."""


class BrokerAwayError(BrokerError):
    """A broker that does not answer now."""


_AWAY: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001 - the library's names
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_CONTROLLER,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Error codes of a client while a broker is unreachable, starting or stopping."""


class KafkaClient:
    """Client of the broker that the settings name."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers

    def __str__(self) -> str:
        return str(self._brokers)

    def create(self, topics: Iterable[Topic]) -> None:
        """Create the topics that are absent; leave the others unchanged.

        Raises BrokerError, also if no broker answers.
        """
        admin = self._admin()
        existing = self._topics(admin)
        absent = [topic for topic in topics if topic.name not in existing]
        # Older brokers refuse the property: create the refused topics again without it.
        refused = self._create(admin, absent, _ANY_CLOCK)
        self._create(admin, refused, {})
        self._wait_until_visible(admin, {topic.name for topic in absent})

    def _create(
        self, admin: AdminClient, topics: Iterable[Topic], properties: Mapping[str, str]
    ) -> list[Topic]:
        """Create topics with additional properties; return those for which they are refused."""
        named = {topic.name: topic for topic in topics}
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=-1,
                config={
                    "retention.ms": str(topic.retention_ms),
                    "compression.type": "lz4",
                    "max.message.bytes": str(MAX_MESSAGE_BYTES + (1 << 20)),
                    **properties,
                },
            )
            for topic in named.values()
        ]
        refused = []
        futures = admin.create_topics(new, request_timeout=_TIMEOUT_S) if new else {}
        for name, future in futures.items():
            try:
                future.result()
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.INVALID_CONFIG and properties:
                    refused.append(named[name])
                # Another process that starts may have created it.
                elif code != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._error(f"topic {name}", error) from error
        return refused

    def _wait_until_visible(self, admin: AdminClient, created: set[str]) -> None:
        """Return when the topics are listed: the broker confirms them a little earlier."""
        end = time.monotonic() + _TIMEOUT_S
        while missing := created - self._topics(admin).keys():
            if time.monotonic() > end:
                raise BrokerError(f"{self}: {', '.join(sorted(missing))}: created, but not listed")
            time.sleep(_CHECK_INTERVAL_S)

    def add_partitions(self, topic: str, count: int) -> None:
        """Add partitions to a topic with fewer than `count`. Raises BrokerError."""
        if count <= 1 or self.partitions(topic) >= count:
            return
        admin = self._admin()
        try:
            added = NewPartitions(topic, count)
            admin.create_partitions([added], request_timeout=_TIMEOUT_S)[topic].result()
        except KafkaException as error:
            # Another process that starts may have added them.
            if self.partitions(topic) < count:
                raise self._error(f"partitions of {topic}", error) from error
        log.warning("%s: has %d partitions now, one for each shard", topic, count)

    def extend_retention(self, topic: str, retention_ms: int) -> None:
        """Raise the retention of a topic to at least `retention_ms`. Raises BrokerError."""
        admin = self._admin()
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        try:
            described = admin.describe_configs([resource], request_timeout=_TIMEOUT_S)
            current_ms = int(described[resource].result()["retention.ms"].value)
            if 0 <= current_ms < retention_ms:
                entry = ConfigEntry(
                    "retention.ms", str(retention_ms), incremental_operation=AlterConfigOpType.SET
                )
                change = ConfigResource(
                    ConfigResource.Type.TOPIC, topic, incremental_configs=[entry]
                )
                futures = admin.incremental_alter_configs([change], request_timeout=_TIMEOUT_S)
                futures[change].result()
        except KafkaException as error:
            raise self._error(f"retention of {topic}", error) from error

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic. Raises BrokerError."""
        counts = self._topics(self._admin())
        if topic not in counts:
            raise BrokerError(f"{self}: there is no topic {topic}; candlewax init makes it")
        return counts[topic]

    def topics(self) -> dict[str, int]:
        """Return the number of partitions of each existing topic. Raises BrokerError."""
        return self._topics(self._admin())

    def _topics(self, admin: AdminClient) -> dict[str, int]:
        try:
            listed = admin.list_topics(timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise self._error("no broker answers", error) from error
        return {name: len(topic.partitions) for name, topic in listed.topics.items()}

    def _error(self, action: str, error: KafkaException) -> BrokerError:
        cause: KafkaError = error.args[0]
        kind = BrokerAwayError if cause.code() in _AWAY else BrokerError
        return kind(f"{self}: {action}: {cause.str()}")

    def _admin(self) -> AdminClient:
        return self._build(AdminClient, {"logger": _admin_log})

    def producer(self, on_error: Callable[[KafkaError], None]) -> Producer:
        """Return a producer that delivers each message once, in order, and never gives up."""
        return self._build(
            Producer,
            {
                "enable.idempotence": True,
                "acks": "all",
                # No timeout of its own: ReliableProducer decides how long to wait.
                "message.timeout.ms": 0,
                "delivery.report.only.error": True,
                "compression.type": "lz4",
                "linger.ms": 2,
                "message.max.bytes": MAX_MESSAGE_BYTES + (1 << 20),
                "queue.buffering.max.messages": _BUFFER_MESSAGES,
                "queue.buffering.max.kbytes": BUFFER_BYTES >> 10,
                "error_cb": on_error,
                "logger": log,
            },
        )

    def consumer(self, group: str, on_error: Callable[[KafkaError], None]) -> Consumer:
        """Return a consumer for assigned partitions; tools see its lag under `group`."""
        return self._build(
            Consumer,
            {
                "group.id": group,
                "enable.auto.commit": False,
                # An expired offset is an error; the default would skip to the end.
                "auto.offset.reset": "error",
                "enable.partition.eof": False,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
                "error_cb": on_error,
                "logger": log,
            },
        )

    def _build(self, client: Callable[[dict[str, Any]], T], defaults: dict[str, Any]) -> T:
        """Return a client. Raises BrokerError that names the setting that librdkafka refuses."""
        properties = dict(self._brokers.properties)
        for name in properties:
            _check_property(name, properties)
        try:
            # The user's properties override the defaults.
            return client({**defaults, **properties, "bootstrap.servers": self._brokers.servers})
        except KafkaException as error:
            # Properties contradict each other, or name absent files.
            names = ", ".join(map(_setting_name, properties))
            raise BrokerError(f"{names or self}: {error.args[0].str()}") from None


def _setting_name(name: str) -> str:
    return f"{PREFIX}{KAFKA}{name.upper().replace('.', '_')}"


def _check_property(name: str, properties: dict[str, str]) -> None:
    """Raise BrokerError if librdkafka does not know a property or refuses its value.

    Other errors pass: a property may be valid only together with others.
    """
    text = "No such configuration property"
    try:
        # `logger` belongs to the Python client; librdkafka does not know it.
        if name != "logger":
            Producer({"log_level": 0, name: properties[name]})
            return
    except (KafkaException, ValueError, TypeError) as error:
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
    if "No such configuration property" in text:
        raise BrokerError(f"{_setting_name(name)}: {name} is no property of librdkafka")
    if "Invalid value" in text:
        raise BrokerError(f"{_setting_name(name)}: {name} is a value librdkafka refuses")
