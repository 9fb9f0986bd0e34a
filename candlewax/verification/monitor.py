"""Cross-check in the background of a live process, or as a process of its own."""

import logging
import signal
import threading
import time
from collections.abc import Collection
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError
from prometheus_client import REGISTRY

from candlewax.clickhouse.client import Database, DatabaseError, connect, short_message
from candlewax.core.cross_check import COLUMNS
from candlewax.runtime.health import Health
from candlewax.runtime.http_status import serve_status
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.verification.cross_check import CrossCheck
from candlewax.verification.cross_check_metrics import CrossCheckMetrics, Mismatch, Window

_log: Final = logging.getLogger("candlewax")

_END_S: Final = 2.0
"""Timeout in seconds of a run on a server when the process ends."""

_MAX_MISSED_RUNS: Final = 3
"""Number of runs that may fail before the health check reports a problem."""


class CrossCheckMonitor:
    """Thread that runs the live cross-check every few seconds, on a connection of its own.

    If the database is unavailable, the next run tries again; the process goes on. Each result is
    also stored, as another process may serve the page.
    """

    def __init__(self, settings: Settings, exchanges: Collection[str] | None = None) -> None:
        """Check some exchanges, by default all."""
        self.metrics: Final = CrossCheckMetrics()
        self._settings = settings
        self._exchanges = exchanges
        self._done = threading.Event()
        self._thread = threading.Thread(target=self.run, name="watch", daemon=True)
        self._database: Database | None = None
        self._check: CrossCheck | None = None
        self._is_failing = False
        self._store_fails = False
        self._last_run = time.monotonic()

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Stop the thread after the current run; on a server wait for it only _END_S seconds."""
        self._done.set()
        if self._thread.ident is not None:
            is_server = isinstance(self._settings.clickhouse, Server)
            self._thread.join(_END_S if is_server else None)

    def run(self) -> None:
        """Run the cross-check until `end` is called."""
        while not self._done.wait(self._settings.watch_seconds):
            self.run_once()

    def run_once(self) -> None:
        """Run the cross-check once, store the result, and log what changed."""
        wrong_before = self.metrics.wrong
        try:
            # Connection and check are kept, so that the next run continues after this one.
            if self._database is None:
                self._database = connect(self._settings.clickhouse, self._settings.database)
            if self._check is None:
                self._check = CrossCheck(self._database.client, self.metrics, self._exchanges)
            self._check.run_once()
        except (ClickHouseError, DatabaseError) as error:
            self._fail(short_message(error) if isinstance(error, ClickHouseError) else str(error))
            return
        self._is_failing = False
        self._last_run = time.monotonic()
        self._store(self._database)
        for window, mismatch in self.metrics.wrong.items():
            if window not in wrong_before:
                _log.error("%s", _describe(window, mismatch))
        for window in wrong_before.keys() - self.metrics.wrong.keys():
            _log.info("%s: equals its trades again", window)

    def _store(self, database: Database) -> None:
        """Store the result. If that fails, the run still counts."""
        rows = self.metrics.rows()
        if not rows:
            return
        try:
            database.client.insert("cross_checks", rows, column_names=COLUMNS)
        except ClickHouseError as error:
            if not self._store_fails:
                _log.warning("cross-check result not stored: %s", short_message(error))
            self._store_fails = True
            return
        self._store_fails = False

    def _fail(self, reason: str) -> None:
        self.metrics.failures += 1
        if not self._is_failing:
            _log.warning("cross-check failed, it is tried again: %s", reason)
        self._is_failing = True

    def find_problem(self) -> str | None:
        """Return the problem if the last run is too long ago."""
        max_age_s = self._settings.fresh_seconds + _MAX_MISSED_RUNS * self._settings.watch_seconds
        age_s = time.monotonic() - self._last_run
        return f"the last cross-check was {age_s:.0f} s ago" if age_s > max_age_s else None

    def close(self) -> None:
        """Close the connection if the thread has ended."""
        if self._database is not None and not self._thread.is_alive():
            self._database.close()


def _describe(window: Window, mismatch: Mismatch) -> str:
    if mismatch.problem == "missing_in_gold":
        return f"{window}: trades are stored, but no candle"
    if mismatch.problem == "missing_in_check":
        return f"{window}: a candle is stored, but no trade"
    return f"{window}: differs from its trades in {', '.join(mismatch.fields)}"


def watch_beside(
    settings: Settings, exchanges: Collection[str] | None = None, *, process_number: int = 0
) -> CrossCheckMonitor | None:
    """Return the cross-check of a process that computes candles, and register its metrics.

    Returns None if the settings leave it to `candlewax watch`, and in all processes of a cluster
    but number 0.
    """
    if not settings.watch_seconds or process_number:
        return None
    monitor = CrossCheckMonitor(settings, exchanges)
    REGISTRY.register(monitor.metrics)
    return monitor


def serve(settings: Settings) -> None:
    """Run the cross-check until SIGTERM or SIGINT. Raises SettingsError."""
    if not settings.watch_seconds:
        raise SettingsError("CANDLEWAX_WATCH_SECONDS: got 0, watch takes a number above 0")
    monitor = CrossCheckMonitor(settings)
    health = Health()
    health.add("cross-check", monitor.find_problem)
    serve_status(settings, monitor.metrics, health)
    should_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: should_stop.set())
    _log.info("watching %s, database %s", settings.clickhouse, settings.database)
    monitor.begin()
    should_stop.wait()
    monitor.end()
    monitor.close()
    _log.info("stopped as asked; %s candles compared", f"{monitor.metrics.candles:,}")
