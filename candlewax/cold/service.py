"""Service of the cold tier: a round each minute, and once a day what needs a day.

If the archive or the database is away, nothing warm is dropped and the next round tries again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.clickhouse.client import Database, DatabaseError, connect, short_message
from candlewax.cold import metrics
from candlewax.cold.archive_kind import claim_archive
from candlewax.cold.daily import prepare, run_daily
from candlewax.cold.offload import EndOfLayer, Item
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.cold.unit_writer import Staged
from candlewax.cold.units import EPOCH
from candlewax.cold.warehouse import AWAY
from candlewax.runtime.cold_settings import ColdSettings
from candlewax.runtime.health import Health
from candlewax.runtime.settings import Settings, SettingsError

ROUND_S: Final = 60.0
"""Seconds between the begins of two rounds."""

MAX_AGE_S: Final = 30 * ROUND_S
"""Seconds without a good round after which the health check reports a problem."""

_AWAY: Final = (ArchiveError, DatabaseError, ClickHouseError, *AWAY)
"""Errors of an archive or a database that is away or wrong."""

_log: Final = logging.getLogger("candlewax")


class EndOfRound(NamedTuple):
    """End of a round; `day` if the work of that day is due."""

    day: date | None


WorkItem = Item | EndOfRound
"""Work of the service: due units, the end of a layer, or the end of a round."""

StagedItem = Staged | EndOfLayer | EndOfRound
"""Work of the service whose files are written, ready to be committed."""


class ColdService:
    """Cold tier of a running process, with a database connection of its own."""

    def __init__(self, settings: Settings, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Raises SettingsError if the settings name no archive that can be used."""
        self._cold = require_cold(settings)
        self._settings = settings
        self._should_stop = should_stop
        self._database: Database | None = None
        self._tier: ColdTier | None = None
        self._is_claimed = False
        self._daily_done: date | None = None
        self._daily_retry = EPOCH
        self._errors = 0
        self._last_reason = ""
        self._last_round = time.monotonic()
        self.health = Health()
        self.health.add("cold", self._problem)

    def items(self) -> Iterator[WorkItem]:
        """Yield the work of one round; none if archive or database are away."""
        self._errors = 0
        try:
            tier = self._open()
            # Behind a broker the first data decides the kind, which may come after the start.
            self._is_claimed = self._is_claimed or claim_archive(tier)
            now = tier.warm.now()
            today = now.date()
            # What failed is tried again after an hour.
            is_new_day = today != self._daily_done and now >= self._daily_retry
            for item in tier.offloader.items(every_unit=is_new_day):
                if self._should_stop():
                    return
                yield item
            yield EndOfRound(today if is_new_day else None)
        except _AWAY as error:
            self._fail(error)

    def write(self, item: WorkItem) -> StagedItem:
        """Write the files of due units."""
        if isinstance(item, EndOfRound):
            return item
        try:
            return self._open().offloader.write_item(item)
        except _AWAY as error:
            self._fail(error)
            return Staged(frozenset(), None, {}, {})

    def archive(self, item: StagedItem) -> None:
        """Commit and verify written files; at the end of a round, do the work of the day."""
        try:
            tier = self._open()
            if isinstance(item, EndOfRound):
                self._end_round(tier, item)
                return
            written = tier.offloader.archive_item(item)
            metrics.count_written(written)
            self._errors += len(tier.offloader.take_errors())
        except _AWAY as error:
            self._fail(error)

    def run_round(self) -> None:
        """Do the work of one round."""
        for item in self.items():
            self.archive(self.write(item))

    def close(self) -> None:
        """Close the connections."""
        if self._tier is not None:
            self._tier.close()
        if self._database is not None:
            self._database.close()

    def _open(self) -> ColdTier:
        if self._tier is None:
            if self._database is None:
                self._database = connect(self._settings.clickhouse, self._settings.database)
            tier = open_tier(self._cold, self._database, self._settings.retention)
            prepare(tier)
            self._tier = tier
        return self._tier

    def _end_round(self, tier: ColdTier, end: EndOfRound) -> None:
        if end.day is not None and not self._errors:
            self._errors += run_daily(tier, self._should_stop)
            if self._errors:
                self._daily_retry = tier.warm.now() + timedelta(hours=1)
            else:
                self._daily_done = end.day
        metrics.set_verified(tier.unit_table.newest_verified())
        metrics.end_round(time.time(), self._errors)
        if not self._errors:
            self._last_reason = ""
            self._last_round = time.monotonic()

    def _problem(self) -> str | None:
        """Return the problem if no round went well for long."""
        age_s = time.monotonic() - self._last_round
        return f"no round without errors for {age_s:.0f} s" if age_s > MAX_AGE_S else None

    def _fail(self, error: Exception) -> None:
        reason = short_message(error) if isinstance(error, ClickHouseError) else str(error)
        self._errors += 1
        metrics.end_round(time.time(), 1)
        if reason != self._last_reason:
            _log.warning("cold tier: %s; nothing warm is dropped, it is tried again", reason)
        self._last_reason = reason


class ColdThread:
    """Thread that runs the service beside a pipeline of the same process."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError."""
        self._done = threading.Event()
        self._service = ColdService(settings, self._done.is_set)
        self._thread = threading.Thread(target=self._run, name="cold", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Stop the thread after the units under way, and close its connections."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._service.close()

    def _run(self) -> None:
        while not self._done.is_set():
            begun = time.monotonic()
            self._service.run_round()
            self._done.wait(max(0.0, ROUND_S - (time.monotonic() - begun)))


def require_cold(settings: Settings) -> ColdSettings:
    """Return the settings of the cold tier. Raises SettingsError if there is none to be used."""
    cold = settings.cold
    if cold is None:
        raise SettingsError("CANDLEWAX_COLD: got nothing, takes a directory or s3://bucket/prefix")
    if cold.is_local and not isinstance(settings.clickhouse, Path):
        raise SettingsError(
            "CANDLEWAX_COLD: got a directory, takes s3://bucket/prefix: a ClickHouse server reads "
            "the archive by itself"
        )
    return cold
