"""One run of a pipeline, from its start to its summary."""

from collections.abc import Callable

from rich.console import Console

from candlewax.clickhouse import overview
from candlewax.clickhouse.client import Database
from candlewax.clickhouse.overview import StoredTotals
from candlewax.pipeline.reports.summary import ReplayProgress, Summary
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import has_failed
from candlewax.runtime.settings import Settings
from candlewax.verification.verify import check_totals, verify

_MARKETS = 8


class ReplayReport:
    """Watches a run, and sums it up when the feed has ended."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tally: Counters,
        stopped: Callable[[], bool],
        console: Console,
        *,
        candles: bool,
    ) -> None:
        self.tally = tally
        self._settings = settings
        self._database = database
        self._stopped = stopped
        self._console = console
        self._candles = candles
        size = sum(path.stat().st_size for path in settings.logs)
        self._watch = ReplayProgress(console, tally, size)
        self._before: StoredTotals | None = None
        self._over = False

    def begin(self) -> None:
        """Take stock and begin to show progress."""
        self._before = overview.count_stored(self._database)
        self._console.print(f"Reading {self._feed()} into {self._tables()}", highlight=False)
        self._console.file.flush()
        self._watch.start()

    def end(self) -> None:
        """Sum up what is stored by now, once however many workers end."""
        if self._over:
            return
        self._over = True
        seconds = self._watch.stop()
        if has_failed():
            self._console.print("Ended by a failure; not all that was read is stored.")
        elif self._stopped():
            self._console.print("Stopped as asked; what was read is stored.")
        elif self.tally.ended:
            self._sum_up(seconds)

    def _sum_up(self, seconds: float) -> None:
        summary = Summary(self._console)
        summary.feed(f"{self._feed()} → {self._tables()}", self.tally)
        after = overview.count_stored(self._database)
        if self._candles:
            counts = overview.count_candles(self._database)
            summary.candles(counts, overview.read_latest_hours(self._database, _MARKETS))
        if self._candles and after:
            client = self._database.client
            summary.check(verify(client), check_totals(client))
        summary.outcome(self.tally, seconds, changed=after is None or after != self._before)
        summary.next()

    def _feed(self) -> str:
        feed = self._settings.feed
        return feed if isinstance(feed, str) else ", ".join(map(str, feed))

    def _tables(self) -> str:
        return f"{self._settings.clickhouse}, database {self._settings.database}"
