"""The cross-check in the background of a live process, and as a process of its own."""

import logging
import signal
import threading
import time
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.checked import Checked, Window, Wrong
from candlewax.connectors.clickhouse import Database, DatabaseError, briefly, connect
from candlewax.connectors.status import answer
from candlewax.crosscheck import CrossCheck
from candlewax.health import Health
from candlewax.settings import Settings

_log: Final = logging.getLogger("candlewax")

_PATIENCE: Final = 3
"""Looks that may be left out before something is wrong."""


class Watching:
    """Looks at the candles that closed every so many seconds, on a connection of its own.

    A database that is away is asked again at the next turn; nobody is stopped by it.
    """

    def __init__(self, chosen: Settings) -> None:
        self.checked: Final = Checked()
        self._chosen = chosen
        self._done = threading.Event()
        self._thread = threading.Thread(target=self.run, name="watch", daemon=True)
        self._database: Database | None = None
        self._check: CrossCheck | None = None
        self._failing = False
        self._looked = time.monotonic()

    def begin(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def end(self) -> None:
        """End, once the look that is going on is over."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

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
                self._check = CrossCheck(self._database.client, self.checked)
            self._check.look()
        except (ClickHouseError, DatabaseError) as error:
            self._fail(briefly(error) if isinstance(error, ClickHouseError) else str(error))
            return
        self._failing = False
        self._looked = time.monotonic()
        for window, wrong in self.checked.wrong.items():
            if window not in before:
                _log.error("%s", _said(window, wrong))
        for window in before.keys() - self.checked.wrong.keys():
            _log.info("%s: is right again", window)

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
        if self._database is not None:
            self._database.close()


def _said(window: Window, wrong: Wrong) -> str:
    if wrong.problem == "missing_in_gold":
        return f"{window}: there are trades, and no candle"
    if wrong.problem == "missing_in_check":
        return f"{window}: there is a candle, and no trade"
    return f"{window}: is not what its trades say in {', '.join(wrong.fields)}"


def serve(chosen: Settings) -> None:
    """Watch until SIGTERM or SIGINT. Raises SettingsError."""
    watching = Watching(chosen)
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
