"""Log report of a process that runs until it is stopped."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import has_failed

_INTERVAL_S: Final = 10.0
"""Seconds between two log lines."""

_LARGE_LAG: Final = 1_000
"""Messages up to which a process counts as having caught up."""

_log = logging.getLogger("candlewax")


class ServiceReport:
    """Report that logs the counts every few seconds and at the end."""

    def __init__(self, title: str, counters: Counters, was_stopped: Callable[[], bool]) -> None:
        self._title = title
        self._counters = counters
        self._was_stopped = was_stopped
        self.lags: Sequence[Callable[[], Mapping[Any, int]]] = ()
        """Functions that return the numbers of unread messages of topics."""
        self._last_lag: tuple[float, int] | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._log_counts, name="service", daemon=True)
        self._started_at = time.monotonic()

    def begin(self) -> None:
        """Log the title, and start the thread that logs the counts."""
        _log.info("%s", self._title)
        self._started_at = time.monotonic()
        self._thread.start()

    def end(self) -> None:
        """Log how the run ended. Only the first call has an effect, however many partitions end."""
        if self._done.is_set():
            return
        self._done.set()
        if has_failed():
            outcome = "ended by a failure"
        else:
            outcome = "stopped as asked" if self._was_stopped() else "the feed has ended"
        _log.info("%s; %s", outcome, self._counts())

    def _log_counts(self) -> None:
        while not self._done.wait(_INTERVAL_S):
            _log.info("%s%s", self._counts(), self._lag_text())

    def _lag_text(self) -> str:
        """Return how far the process is behind its topics, and when it will have caught up."""
        now, lag = time.monotonic(), sum(sum(read().values()) for read in self.lags)
        before, self._last_lag = self._last_lag, (now, lag)
        return describe_lag(lag, before[1] - lag if before else 0, now - before[0] if before else 0)

    def _counts(self) -> str:
        names = ("frames", "trades", "duplicates", "dead_letters", "lost")
        totals = {name: self._counters.total(name) for name in names}
        texts = [f"{total:,} {name.replace('_', ' ')}" for name, total in totals.items() if total]
        stored = self._counters.total("stored")
        seconds = time.monotonic() - self._started_at
        parts = [*texts, *([f"{stored:,} rows stored"] if stored else []), f"{seconds:,.0f} s"]
        return ", ".join(parts)


def describe_lag(lag: int, caught_up: int, seconds: float) -> str:
    """Describe unread messages, empty text if these are too few to tell.

    `caught_up`: by how many they became fewer in the last `seconds`.
    """
    if lag < _LARGE_LAG:
        return ""
    text = f", {lag:,} messages behind"
    if caught_up <= 0 or seconds <= 0:
        return text
    rate = caught_up / seconds
    left = timedelta(seconds=round(lag / rate))
    return f"{text}, catching up by {rate:,.0f} a second: {left} left"
