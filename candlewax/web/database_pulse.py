"""Liveness of a ClickHouse server: slow queries are waited for, silence is not.

A server may accept connections and answer nothing: it is stopped, its machine is out of reach, or a
proxy before it hangs. The timeout of a query cannot tell this from a long query. So while a query
has no answer, the server is pinged as well.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, Protocol, TypeVar

from candlewax.clickhouse.client import UnavailableError

QUICK_S: Final = 0.4
"""Seconds without an answer to a query after which the server is pinged."""

SILENT_S: Final = 1.8
"""Seconds without any answer after which a server counts as silent."""

LEAST_S: Final = 0.3
"""Seconds a ping has at least."""

KNOWN_S: Final = 1.0
"""Seconds for which a silent server is not asked again, and after which a ping is given up."""

SILENCE: Final = "ClickHouse does not answer"

T = TypeVar("T")


class Pinged(Protocol):
    """Server that can be pinged."""

    def ping(self) -> bool:
        """Return whether the server answers."""


class Pulse:
    """Waits for answers of one server while it is alive. Thread-safe.

    At most one ping is in progress, apart from those given up.
    """

    def __init__(self, server: Pinged, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._lock = threading.Lock()
        self._ping: Future[bool] | None = None
        self._pinged_at = 0.0
        self._silent_at: float | None = None

    def ask(self, query: Callable[[], T]) -> T:
        """Return the result of a query, however long it runs while the server answers pings.

        Raises Unavailable if the server is silent; the query then ends by its own timeout.
        """
        begin = self._clock()
        if self._silent_at is not None:
            # Start no query that would hang as well.
            self.check(begin)
        answer = _run_in_thread(query)
        last_answer = begin
        while not wait([answer], QUICK_S).done:
            self.check(last_answer)
            last_answer = self._clock()
        return answer.result()

    def check(self, last_answer: float | None = None) -> None:
        """Return if the server answers a ping; raise Unavailable if it was silent too long.

        `last_answer` is the time of its last answer, or since when it is waited for.
        """
        now = self._clock()
        if self._silent_at is not None and now - self._silent_at < KNOWN_S:
            raise UnavailableError(SILENCE)
        ping = self._current_ping(now)
        wait([ping], max(LEAST_S, (now if last_answer is None else last_answer) + SILENT_S - now))
        if ping.done() and ping.exception() is None and ping.result():
            self._silent_at = None
            return
        self._silent_at = self._clock()
        raise UnavailableError(SILENCE)

    def _current_ping(self, now: float) -> Future[bool]:
        """Return the ping in progress, or start one."""
        with self._lock:
            if self._ping is None or self._ping.done() or now - self._pinged_at > KNOWN_S:
                self._ping, self._pinged_at = _run_in_thread(self._server.ping), now
            return self._ping


def _run_in_thread(work: Callable[[], T]) -> Future[T]:
    """Run this in a daemon thread, so that not even the end of the process waits for it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is read
            future.set_exception(error)

    threading.Thread(target=run, name="asking", daemon=True).start()
    return future
