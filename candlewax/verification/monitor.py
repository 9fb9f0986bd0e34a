"""The cross-check in the background of a live process, and as a process of its own."""

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
from candlewax.runtime.http_status import answer
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.verification.cross_check import CrossCheck
from candlewax.verification.cross_check_metrics import CrossCheckMetrics, Mismatch, Window

_log: Final = logging.getLogger("candlewax")

_END_S: Final = 2.0
"""Seconds for a look on a server to end when the process does."""

_PATIENCE: Final = 3
"""Looks that may be left out before something is wrong."""


class CrossCheckMonitor:
    """Looks at the candles that closed every so many seconds, on a connection of its own.

    A database that is away is asked again at the next turn; nobody is stopped by it. What a look
    has found is stored, too: the page may be served by another process.
    """

    def __init__(self, chosen: Settings, exchanges: Collection[str] | None = None) -> None:
        """At those of some exchanges, or of all."""
        self.checked: Final = CrossCheckMetrics()
        self._chosen = chosen
        self._exchanges = exchanges
        self._done = threading.Event()
        self._thread = threading.Thread(target=self.run, name="watch", daemon=True)
        self._database: Database | None = None
        self._check: CrossCheck | None = None
        self._failing = False
        self._is_unstored = False
        self._looked = time.monotonic()

    def begin(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def end(self) -> None:
        """End, once the look that is going on is over; one on a server is not waited for long,
        as it ends by itself there.
        """
        self._done.set()
        if self._thread.ident is not None:
            is_server = isinstance(self._chosen.clickhouse, Server)
            self._thread.join(_END_S if is_server else None)

    def run(self) -> None:
        """Look until it is to end."""
        while not self._done.wait(self._chosen.watch_seconds):
            self.look()

    def look(self) -> None:
        """Look once, and say what is new."""
        before = self.checked.wrong
        try:
            # Whatever the tables hold by then: it goes on where it was.
            if self._database is None:
                self._database = connect(self._chosen.clickhouse, self._chosen.database)
            if self._check is None:
                self._check = CrossCheck(self._database.client, self.checked, self._exchanges)
            self._check.run_once()
        except (ClickHouseError, DatabaseError) as error:
            self._fail(short_message(error) if isinstance(error, ClickHouseError) else str(error))
            return
        self._failing = False
        self._looked = time.monotonic()
        self._store(self._database)
        for window, wrong in self.checked.wrong.items():
            if window not in before:
                _log.error("%s", _describe(window, wrong))
        for window in before.keys() - self.checked.wrong.keys():
            _log.info("%s: is right again", window)

    def _store(self, database: Database) -> None:
        """Store what was found. A look counts also where that fails."""
        rows = self.checked.rows()
        if not rows:
            return
        try:
            database.client.insert("cross_checks", rows, column_names=COLUMNS)
        except ClickHouseError as error:
            if not self._is_unstored:
                _log.warning("the cross-check cannot store its result: %s", short_message(error))
            self._is_unstored = True
            return
        self._is_unstored = False

    def _fail(self, why: str) -> None:
        self.checked.failures += 1
        if not self._failing:
            _log.warning("the cross-check has to wait: %s", why)
        self._failing = True

    def stale(self) -> str | None:
        """What is wrong with the last look, if it is too long ago."""
        most_s = self._chosen.fresh_seconds + _PATIENCE * self._chosen.watch_seconds
        age_s = time.monotonic() - self._looked
        return f"the last look was {age_s:.0f} s ago" if age_s > most_s else None

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None and not self._thread.is_alive():
            self._database.close()


def _describe(window: Window, wrong: Mismatch) -> str:
    if wrong.problem == "missing_in_gold":
        return f"{window}: there are trades, and no candle"
    if wrong.problem == "missing_in_check":
        return f"{window}: there is a candle, and no trade"
    return f"{window}: is not what its trades say in {', '.join(wrong.fields)}"


def watch_beside(
    chosen: Settings, exchanges: Collection[str] | None = None, *, process_number: int = 0
) -> CrossCheckMonitor | None:
    """Return the cross-check that goes on in a process that makes candles; none where the
    settings leave it to `candlewax watch`, or where another process of a cluster has it: the
    one whose `process_number` is 0 does.
    """
    if not chosen.watch_seconds or process_number:
        return None
    watching = CrossCheckMonitor(chosen, exchanges)
    REGISTRY.register(watching.checked)
    return watching


def serve(chosen: Settings) -> None:
    """Watch until SIGTERM or SIGINT. Raises SettingsError."""
    if not chosen.watch_seconds:
        raise SettingsError("CANDLEWAX_WATCH_SECONDS: got 0, watch takes a number above 0")
    watching = CrossCheckMonitor(chosen)
    health = Health()
    health.add("cross-check", watching.stale)
    answer(chosen, watching.checked, health)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    _log.info("watching %s, database %s", chosen.clickhouse, chosen.database)
    watching.begin()
    asked.wait()
    watching.end()
    watching.close()
    _log.info("stopped as asked; %s candles looked at", f"{watching.checked.candles:,}")
