"""The broker: Kafka, or Redpanda, which speaks the same protocol."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from candlewax.kafka.topics import MOST_BYTES, Topic, wanted
from candlewax.runtime.setting_parsers import KAFKA
from candlewax.runtime.settings import PREFIX, Brokers

BUFFER_BYTES: Final = 256 << 20
"""What a producer holds while the broker is away."""

_BUFFER_MESSAGES: Final = 2_000_000

_SECONDS: Final = 30.0
"""How long a broker may take to answer at the start."""

_ANY_CLOCK: Final = {"message.timestamp.after.max.ms": str(2**63 - 1)}
"""Brokers refuse messages that are an hour ahead of their own clock: a process whose clock
runs ahead could send nothing. Source: Apache Kafka, "Topic Configs"."""

_GLANCE: Final = 0.05
"""Seconds between two looks at what a broker has."""

_AGAIN: Final = 30.0
"""Seconds before the same is said again."""


class LogRateLimit(logging.Filter):
    """Lets what differs in its numbers only through once in a while: clients say in
    bursts, again and again, that a broker is away.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._now()
        self._said = {text: when for text, when in self._said.items() if now - when < _AGAIN}
        text = re.sub(r"[0-9]+|, 1 identical.*", "", record.getMessage())
        return self._said.setdefault(text, now) == now


log = logging.getLogger("candlewax.broker")
log.addFilter(LogRateLimit())

# Of clients that speak of themselves only while somebody polls them.
_quiet = logging.getLogger("candlewax.broker.client")


T = TypeVar("T")


class BrokerError(RuntimeError):
    """The broker cannot be used; the text says which and why."""


class BrokerAwayError(BrokerError):
    """No broker answers now."""


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
"""What clients say while a broker is gone, starts or ends."""


class KafkaClient:
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
        absent = [topic for topic in topics if topic.name not in there]
        # Not every broker knows such a bound.
        self._make(admin, self._make(admin, absent, _ANY_CLOCK), {})
        self._await(admin, {topic.name for topic in absent})

    def _make(
        self, admin: AdminClient, topics: Iterable[Topic], more: Mapping[str, str]
    ) -> list[Topic]:
        """Make topics with more than the usual properties; gives those of which the broker
        refuses that.
        """
        named = {topic.name: topic for topic in topics}
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=-1,
                config={
                    "retention.ms": str(topic.retention_ms),
                    "compression.type": "lz4",
                    "max.message.bytes": str(MOST_BYTES + (1 << 20)),
                    **more,
                },
            )
            for topic in named.values()
        ]
        refused = []
        asked = admin.create_topics(new, request_timeout=_SECONDS) if new else {}
        for name, done in asked.items():
            try:
                done.result()
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.INVALID_CONFIG and more:
                    refused.append(named[name])
                # Several processes start at once.
                elif code != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._error(f"topic {name}", error) from error
        return refused

    def _await(self, admin: AdminClient, created: set[str]) -> None:
        """Return when the topics are seen: the broker confirms them a little before."""
        end = time.monotonic() + _SECONDS
        while missing := created - self._topics(admin).keys():
            if time.monotonic() > end:
                raise BrokerError(f"{self}: {', '.join(sorted(missing))}: created, but not seen")
            time.sleep(_GLANCE)

    def extend_retention(self, topic: str, retention_ms: int) -> None:
        """Let a topic keep its messages at least so long. Raises BrokerError."""
        admin = self._admin()
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        try:
            asked = admin.describe_configs([resource], request_timeout=_SECONDS)
            now = int(asked[resource].result()["retention.ms"].value)
            if 0 <= now < retention_ms:
                entry = ConfigEntry(
                    "retention.ms", str(retention_ms), incremental_operation=AlterConfigOpType.SET
                )
                wanted = ConfigResource(
                    ConfigResource.Type.TOPIC, topic, incremental_configs=[entry]
                )
                changed = admin.incremental_alter_configs([wanted], request_timeout=_SECONDS)
                changed[wanted].result()
        except KafkaException as error:
            raise self._error(f"retention of {topic}", error) from error

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises BrokerError."""
        there = self._topics(self._admin())
        if topic not in there:
            raise BrokerError(f"{self}: there is no topic {topic}; candlewax init makes it")
        return there[topic]

    def topics(self) -> dict[str, int]:
        """Return the topics that are there, and how many partitions each has. Raises
        BrokerError.
        """
        return self._topics(self._admin())

    def _topics(self, admin: AdminClient) -> dict[str, int]:
        try:
            found = admin.list_topics(timeout=_SECONDS)
        except KafkaException as error:
            raise self._error("no broker answers", error) from error
        return {name: len(topic.partitions) for name, topic in found.topics.items()}

    def _error(self, what: str, error: KafkaException) -> BrokerError:
        cause: KafkaError = error.args[0]
        kind = BrokerAwayError if cause.code() in _AWAY else BrokerError
        return kind(f"{self}: {what}: {cause.str()}")

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
                "logger": log,
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
                "logger": log,
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


def create_topics(broker: KafkaClient, brokers: Brokers, exchanges: tuple[str, ...]) -> None:
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
