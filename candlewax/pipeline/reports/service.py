"""A process that runs until it is stopped: what it says of itself."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import has_failed

_EVERY: Final = 10.0
"""Seconds between two lines."""

_log = logging.getLogger("candlewax")


class ServiceReport:
    """Says now and then what came, and at the end what is done."""

    def __init__(self, what: str, tally: Counters, stopped: Callable[[], bool]) -> None:
        self._what = what
        self._tally = tally
        self._stopped = stopped
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="service", daemon=True)
        self._began = time.monotonic()

    def begin(self) -> None:
        """Begin to tell."""
        _log.info("%s", self._what)
        self._began = time.monotonic()
        self._thread.start()

    def end(self) -> None:
        """Tell what was done, once however many parts end."""
        if self._done.is_set():
            return
        self._done.set()
        if has_failed():
            why = "ended by a failure"
        else:
            why = "stopped as asked" if self._stopped() else "the feed has ended"
        _log.info("%s; %s", why, self._counts())

    def _tell(self) -> None:
        while not self._done.wait(_EVERY):
            _log.info("%s", self._counts())

    def _counts(self) -> str:
        names = ("frames", "trades", "duplicates", "dead_letters", "lost")
        totals = {name: self._tally.total(name) for name in names}
        shown = [f"{total:,} {name.replace('_', ' ')}" for name, total in totals.items() if total]
        stored = self._tally.total("stored")
        seconds = time.monotonic() - self._began
        parts = [*shown, *([f"{stored:,} rows stored"] if stored else []), f"{seconds:,.0f} s"]
        return ", ".join(parts)
