"""Bytewax source for gap filling: missing trades requested by REST."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from bytewax.inputs import FixedPartitionedSource

from candlewax.clickhouse.client import Database
from candlewax.core.frames import SourceItem
from candlewax.feeds.rest.client import RetryPolicy
from candlewax.feeds.rest.fill_schedule import FillTiming, GapSelection, IdleWork
from candlewax.feeds.rest.gap_filler import GapFiller, RestEndpoint
from candlewax.feeds.rest.start_fill import StartSpan
from candlewax.feeds.rest.worker import WorkerPartition, WorkerThread
from candlewax.runtime.counters import Counters

MAX_QUEUED: Final = 16
"""Largest number of queued responses; at this number the thread stops requesting."""


class GapFillSource(FixedPartitionedSource[SourceItem, None]):
    """Source of the trades missing in the table `gaps`, requested by REST.

    Emits each response verbatim as a frame of the connection `rest/<native symbol>`, and stores
    attempts, state and reason in `gaps`. The deduplication step marks gaps as repaired.

    Refused requests are retried with backoff without end. A gap is given up if two responses,
    minutes apart, lack its trades for the same reason, if it is too long, or if all its trades came
    MAX_UNREADABLE_FILLS times and are not stored, as they cannot be read. A `selection` can include
    gaps that were given up.

    Delivery: at least once; a gap whose trades were not stored is requested again.
    Unit of parallelism: an exchange, in a thread of its own, so that no worker waits for a
    response. Ends once `should_stop` is true, or with `is_finite` when no gap is due.
    """

    def __init__(
        self,
        endpoints: Mapping[str, RestEndpoint],
        database: Database,
        counters: Counters,
        should_stop: Callable[[], bool] = lambda: False,
        *,
        timing: FillTiming | None = None,
        retry_policy: RetryPolicy | None = None,
        is_finite: bool = False,
        is_only_writer: bool = False,
        selection: GapSelection | None = None,
        reads_market: Callable[[str, str], bool] = lambda *_: True,
        start_span: StartSpan | None = None,
        idle_work: Callable[[str], IdleWork | None] = lambda _: None,
    ) -> None:
        """By default the selection is all gaps that are not given up, of the markets (exchange and
        unified symbol) that `reads_market` selects.

        If this process is the only writer of `gaps`, it queries the table only after it has stored
        a gap in it, and while any is pending.

        With a `start_span` the trades of that span are requested too, however many. `idle_work`
        gives the work of an exchange's thread while no gap is due; it shares the rate limit.
        """
        self._endpoints = endpoints
        self._database = database
        self._counters = counters
        self._should_stop = should_stop
        self._timing = timing or FillTiming()
        self._retry_policy = retry_policy or RetryPolicy()
        self._is_finite = is_finite
        self._is_only_writer = is_only_writer
        self._selection = selection or GapSelection()
        self._reads_market = reads_market
        self._start_span = start_span
        self._idle_work = idle_work

    def list_parts(self) -> list[str]:
        return list(self._endpoints)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> WorkerPartition:
        filler = GapFiller(
            for_part,
            self._endpoints[for_part],
            self._database,
            self._counters,
            self._timing,
            self._retry_policy,
            self._selection,
            is_finite=self._is_finite,
            is_only_writer=self._is_only_writer,
            reads_market=partial(self._reads_market, for_part),
            start_span=self._start_span,
            idle_work=self._idle_work(for_part),
        )
        worker = WorkerThread(f"rest-{for_part}", filler.work, MAX_QUEUED)
        return WorkerPartition(for_part, worker, self._counters, self._should_stop)
