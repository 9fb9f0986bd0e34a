"""Check of topics in the background of a process that reads them."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from candlewax.core.shards import ShardError
from candlewax.kafka.client import KafkaClient, log

INTERVAL_S: Final = 60.0
"""Seconds between two checks. Each is a request or two."""


class TopicWatch:
    """Stop signal of a source that raises ShardError once a check of its topics did.

    A thread runs the check at intervals, from the first call on. If it fails otherwise, as with an
    unavailable broker, the next one tries again.
    """

    def __init__(
        self,
        should_stop: Callable[[], bool],
        check: Callable[[], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._should_stop = should_stop
        self._check = check
        self._interval_s = interval_s
        self._failure: ShardError | None = None
        self._done = threading.Event()
        # Several workers call; the first one starts the thread.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self) -> bool:
        """Return True if the source shall stop. Raises ShardError."""
        if self._thread is None:
            self._start()
        if self._failure:
            raise self._failure
        if self._should_stop():
            self._done.set()
            return True
        return False

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="topics", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(self._interval_s):
            try:
                self._check()
            except ShardError as error:
                self._failure = error
                return
            except Exception as error:  # noqa: BLE001 - also those of a registry's HTTP client
                log.warning("topics could not be checked: %s", error)


def require_partitions(broker: KafkaClient, counts: Mapping[str, int]) -> None:
    """Raise ShardError if a topic has more partitions than `counts` says. Raises BrokerError.

    A source that began with fewer does not read the others.
    """
    current = broker.topics()
    for topic, count in counts.items():
        if current.get(topic, 0) > count:
            raise ShardError(
                f"{topic}: {current[topic]} partitions now, {count} when this process started, "
                "which does not read the others. Give all processes the same CANDLEWAX_SHARDS and "
                "start this one again"
            )
