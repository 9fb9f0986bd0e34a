"""Whether a ClickHouse server answers at all: a query that runs is waited for, silence is not.

A server may accept connections and say nothing: it is stopped, its machine is out of reach, or
what stands before it hangs. The timeout of a query cannot tell that from one that takes long, so
while a query has no answer the server is pinged beside it.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, Protocol, TypeVar

from candlewax.clickhouse.client import Unavailable

QUICK_S: Final = 0.4
"""Seconds without an answer to a query after which the server is pinged."""

SILENT_S: Final = 1.8
"""Seconds without an answer to anything after which a server counts as silent."""

LEAST_S: Final = 0.3
"""Seconds that a ping has at least."""

KNOWN_S: Final = 1.0
"""Seconds for which a silent server is not asked again, and after which a ping is lost."""

SILENCE: Final = "ClickHouse does not answer"

T = TypeVar("T")


class Pinged(Protocol):
    """What can be asked whether it is there."""

    def ping(self) -> bool:
        """Return whether it answers."""


class Pulse:
    """Waits for answers of one server as long as it is there; safe in several threads.

    At most one ping is under way, besides those that were lost.
    """

    def __init__(self, server: Pinged, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._lock = threading.Lock()
        self._ping: Future[bool] | None = None
        self._pinged_at = 0.0
        self._silent_at: float | None = None

    def ask(self, query: Callable[[], T]) -> T:
        """Return what a query gives, however long it runs while the server answers pings.

        Raises Unavailable if the server is silent; the query is left to its own timeout then.
        """
        begin = self._clock()
        if self._silent_at is not None:
            # No query is begun that would hang, too.
            self.check(begin)
        asked = _begin(query)
        heard = begin
        while not wait([asked], QUICK_S).done:
            self.check(heard)
            heard = self._clock()
        return asked.result()

    def check(self, heard: float | None = None) -> None:
        """Return if the server answers a ping. Raises Unavailable if it was not heard for too
        long; `heard` is when it was last, or when one began to wait for it.
        """
        now = self._clock()
        if self._silent_at is not None and now - self._silent_at < KNOWN_S:
            raise Unavailable(SILENCE)
        ping = self._pinging(now)
        wait([ping], max(LEAST_S, (now if heard is None else heard) + SILENT_S - now))
        if ping.done() and ping.exception() is None and ping.result():
            self._silent_at = None
            return
        self._silent_at = self._clock()
        raise Unavailable(SILENCE)

    def _pinging(self, now: float) -> Future[bool]:
        """Return the ping that is under way, or a new one."""
        with self._lock:
            if self._ping is None or self._ping.done() or now - self._pinged_at > KNOWN_S:
                self._ping, self._pinged_at = _begin(self._server.ping), now
            return self._ping


def _begin(work: Callable[[], T]) -> Future[T]:
    """Run this in a thread that nobody has to wait for, not even the end of the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="asking", daemon=True).start()
    return future
