"""Report of a replay, from its start to its summary."""

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

_MAX_MARKETS = 8


class ReplayReport:
    """Report of a replay: progress, and a summary once the feed has ended."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        counters: Counters,
        was_stopped: Callable[[], bool],
        console: Console,
        *,
        candles: bool,
    ) -> None:
        self.counters = counters
        self._settings = settings
        self._database = database
        self._was_stopped = was_stopped
        self._console = console
        self._candles = candles
        size = sum(path.stat().st_size for path in settings.frame_logs)
        self._progress = ReplayProgress(console, counters, size)
        self._before: StoredTotals | None = None
        self._has_ended = False

    def begin(self) -> None:
        """Count what is stored, and start to show progress."""
        self._before = overview.count_stored(self._database)
        self._console.print(f"Reading {self._feed()} into {self._tables()}", highlight=False)
        self._console.file.flush()
        self._progress.start()

    def end(self) -> None:
        """Print the summary. Only the first call has an effect, however many workers end."""
        if self._has_ended:
            return
        self._has_ended = True
        seconds = self._progress.stop()
        if has_failed():
            self._console.print("Ended by a failure; not all that was read is stored.")
        elif self._was_stopped():
            self._console.print("Stopped as asked; all data read is stored.")
        elif self.counters.ended:
            self._sum_up(seconds)

    def _sum_up(self, seconds: float) -> None:
        summary = Summary(self._console)
        summary.feed(f"{self._feed()} → {self._tables()}", self.counters)
        after = overview.count_stored(self._database)
        if self._candles:
            counts = overview.count_candles(self._database)
            summary.candles(counts, overview.read_latest_hours(self._database, _MAX_MARKETS))
        if self._candles and after:
            client = self._database.client
            summary.check(verify(client), check_totals(client))
        summary.outcome(self.counters, seconds, changed=after is None or after != self._before)
        summary.next()

    def _feed(self) -> str:
        feed = self._settings.feed
        return feed if isinstance(feed, str) else ", ".join(map(str, feed))

    def _tables(self) -> str:
        return f"{self._settings.clickhouse}, database {self._settings.database}"
