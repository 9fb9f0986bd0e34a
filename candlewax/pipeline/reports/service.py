"""Log report of a process that runs until it is stopped."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import has_failed

_INTERVAL_S: Final = 10.0
"""Seconds between two log lines."""

_log = logging.getLogger("candlewax")


class ServiceReport:
    """Report that logs the counts every few seconds and at the end."""

    def __init__(self, title: str, counters: Counters, was_stopped: Callable[[], bool]) -> None:
        self._title = title
        self._counters = counters
        self._was_stopped = was_stopped
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
            _log.info("%s", self._counts())

    def _counts(self) -> str:
        names = ("frames", "trades", "duplicates", "dead_letters", "lost")
        totals = {name: self._counters.total(name) for name in names}
        texts = [f"{total:,} {name.replace('_', ' ')}" for name, total in totals.items() if total]
        stored = self._counters.total("stored")
        seconds = time.monotonic() - self._started_at
        parts = [*texts, *([f"{stored:,} rows stored"] if stored else []), f"{seconds:,.0f} s"]
        return ", ".join(parts)
