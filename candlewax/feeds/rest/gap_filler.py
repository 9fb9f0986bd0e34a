"""Worker that requests the missing trades of one exchange by REST."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.gap_table import REPAIRING, UNREPAIRABLE, GapAttempt, GapTable, PendingGap
from candlewax.core.frames import FROM_REST
from candlewax.core.gaps.fill_plan import (
    FillCursor,
    FillGap,
    FillResult,
    FillStatus,
    GapGroup,
    group_gaps,
    too_long_reason,
)
from candlewax.exchanges.protocol.rest import RestRules
from candlewax.feeds.rest.client import Answer, Client, RefusalError, RetryPolicy
from candlewax.feeds.rest.fill_schedule import FillTiming, GapSelection, IdleWork, Schedule
from candlewax.feeds.rest.span_fills import SpanFills
from candlewax.feeds.rest.start_fill import StartSpan
from candlewax.feeds.rest.worker import WorkerThread
from candlewax.runtime.counters import Counters

MAX_UNREADABLE_FILLS: Final = 10
"""Responses with all trades of a gap after which the gap, if still open, is given up: the trades
cannot be read."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestEndpoint:
    """REST access to an exchange: rules, address if not its own, and key.

    `is_simulated` requires the simulator (True) or the exchange (False); None accepts both.
    """

    rest: RestRules
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    is_simulated: bool | None = None


class GapFiller:
    """Worker that fills the gaps of one exchange. With `is_finite` it ends when no gap is due."""

    def __init__(
        self,
        exchange: str,
        endpoint: RestEndpoint,
        database: Database,
        counters: Counters,
        timing: FillTiming,
        retry_policy: RetryPolicy,
        selection: GapSelection,
        *,
        is_finite: bool,
        is_only_writer: bool,
        reads_market: Callable[[str], bool] = lambda _: True,
        start_span: StartSpan | None = None,
        idle_work: IdleWork | None = None,
    ) -> None:
        self._exchange = exchange
        self._endpoint = endpoint
        self._database = database
        self._counters = counters
        self._timing = timing
        self._retry_policy = retry_policy
        self._is_finite = is_finite
        self._is_only_writer = is_only_writer
        self._reads_market = reads_market
        self._stored_count = -1
        self._has_pending = False
        self._selection = selection
        self._refusals = 0
        self._refusal_reason: str | None = None
        self._schedule = Schedule(timing, is_finite=is_finite)
        self._seq: dict[str, int] = {}
        self._start_span = start_span
        self._idle_work = idle_work
        self._long_group: GapGroup | None = None
        self._next_short_round = 0.0

    def work(self, worker: WorkerThread) -> None:
        """Request the trades of gaps that are due, round after round."""
        self._worker = worker
        self._gaps = GapTable(self._database, self._exchange, worker.pause)
        endpoint = self._endpoint
        self._client = Client(
            endpoint.rest,
            endpoint.url,
            endpoint.key,
            is_simulated=endpoint.is_simulated,
            wait=worker.wait,
            retry_policy=self._retry_policy,
        )
        try:
            span_fills = self._span_fills(worker)
            span_fills.run()
            while self._run_round() or not self._is_finite:
                self._pass_time(worker)
                span_fills.run()
        finally:
            self._client.close()

    def _pass_time(self, worker: WorkerThread) -> None:
        """Wait until the next round, and let other requests be sent meanwhile."""
        end = time.monotonic() + self._timing.poll_s
        if self._idle_work:
            self._idle_work.run(self._client, end)
        worker.pause(max(0.0, end - time.monotonic()))

    def _span_fills(self, worker: WorkerThread) -> SpanFills:
        span, rest = self._start_span or StartSpan(0), self._endpoint.rest
        parts = self._database, self._exchange, self._client, rest, span, self._put, worker.pause
        return SpanFills(*parts, self._reads_market, self._timing.settle_s)

    def _run_round(self) -> bool:
        """Request the trades of gaps that are due. Return True if any gap was due."""
        if not self._may_have_pending():
            return False
        selection = self._selection
        listed = self._gaps.list_pending(
            selection.symbols, selection.firsts, include_given_up=selection.include_given_up
        )
        pending = [each for each in listed if self._reads_market(each.gap.symbol)]
        self._has_pending = bool(pending)
        self._schedule.keep(pending)
        due = [each for each in pending if self._schedule.is_due(each) and self._has_turn(each.gap)]
        pending_by_gap = {each.gap: each for each in due}
        not_requested = self._give_up_unrequested(pending_by_gap)
        for group in group_gaps(
            pending_by_gap.keys() - not_requested, self._endpoint.rest.page_rows
        ):
            self._refusal_reason = None
            results = self._fill_group(group)
            self._store_results(
                pending_by_gap,
                {
                    gap: _with_history(pending_by_gap[gap], result)
                    for gap, result in results.items()
                },
            )
            if self._refusal_reason is not None:
                self._end_if_refused(pending_by_gap, self._refusal_reason)
                break
        return bool(due)

    def _has_turn(self, gap: FillGap) -> bool:
        """Return True for all gaps; between two pages of long ones, for those of one page."""
        return not self._long_group or gap.size < self._endpoint.rest.page_rows

    def _fill_short_gaps(self, group: GapGroup) -> None:
        """Fill the gaps of one page that are due, if a while has passed.

        It is called between two pages of a group, which may take hours to come.
        """
        if self._long_group or self._is_finite or time.monotonic() < self._next_short_round:
            return
        self._long_group = group
        self._run_round()
        self._long_group = None
        self._next_short_round = time.monotonic() + self._timing.poll_s

    def _may_have_pending(self) -> bool:
        """Return False if there was no pending gap, and no gap has been stored since."""
        before = self._stored_count
        self._stored_count = self._counters.total("stored", "gaps")
        return not self._is_only_writer or self._has_pending or self._stored_count != before

    def _give_up_unrequested(self, pending_by_gap: Mapping[FillGap, PendingGap]) -> set[FillGap]:
        """Give up gaps that cannot be requested, or are too long. Return them."""
        results = {
            gap: FillResult(FillStatus.UNAVAILABLE, reason)
            for gap in pending_by_gap
            if (reason := self._why_not_requested(gap))
        }
        given_up = {gap for gap in results if pending_by_gap[gap].given_up}
        for gap in given_up:
            self._schedule.record(pending_by_gap[gap], is_final=True)
        newly = {gap: result for gap, result in results.items() if gap not in given_up}
        self._store_results(pending_by_gap, newly)
        return set(results)

    def _why_not_requested(self, gap: FillGap) -> str | None:
        """One that is named, or in the start span, is requested however long."""
        span, reason = self._start_span, self._endpoint.rest.no_trades_because
        if self._selection.is_named(gap) or (span and gap.before >= span.begin_us):
            return reason
        return reason or too_long_reason(gap)

    def _end_if_refused(self, pending_by_gap: Mapping[FillGap, PendingGap], reason: str) -> None:
        """End a finite run for all gaps due if too many requests in a row were refused."""
        if self._is_finite and self._refusals >= self._timing.tries:
            refused = FillResult(FillStatus.RETRY, reason)
            due = (gap for gap, each in pending_by_gap.items() if self._schedule.is_due(each))
            self._store_results(pending_by_gap, dict.fromkeys(due, refused), is_final=True)

    def _fill_group(self, group: GapGroup) -> dict[FillGap, FillResult]:
        """Request the trades of a group until the last page. Return the result of each gap."""
        native_symbol = self._gaps.find_native_symbol(group.gaps[0])
        if native_symbol is None:
            reason = "nothing of this market is stored that says how the exchange calls it"
            return dict.fromkeys(group.gaps, FillResult(FillStatus.RETRY, reason))
        rest = self._endpoint.rest
        key = f"CANDLEWAX_{self._exchange.upper()}_KEY" if rest.requires_key else None
        cursor = FillCursor(
            group, rest, None if self._endpoint.key else key, int(self._timing.proof_age_s * 1e6)
        )
        try:
            while self._take(
                native_symbol, cursor, self._client.ask(cursor.next_path(native_symbol))
            ):
                self._fill_short_gaps(group)
        except RefusalError as refusal:
            self._counters.increment(1, "rest", self._exchange, "refused")
            if refusal.is_permanent:
                return dict.fromkeys(group.gaps, FillResult(FillStatus.UNAVAILABLE, refusal.reason))
            self._refusals, self._refusal_reason = self._refusals + 1, refusal.reason
            return {
                gap: cursor.result_after_refusal(gap, refusal.reason, _now()) for gap in group.gaps
            }
        return {gap: cursor.result(gap, _now()) for gap in group.gaps}

    def _take(self, native_symbol: str, cursor: FillCursor, answer: Answer) -> bool:
        """Queue the frame of a response. Return True if there are more pages to request."""
        self._counters.increment(1, "rest", self._exchange, "answered")
        self._refusals = 0
        if answer.page.numbers or answer.page.unreadable_rows:
            self._put(native_symbol, answer)
        return cursor.add_page(answer.page)

    def _put(self, native_symbol: str, answer: Answer) -> None:
        seq = self._seq.get(native_symbol, 0)
        self._seq[native_symbol] = seq + 1
        self._worker.put((answer.received_ns, FROM_REST + native_symbol, seq, answer.text))

    def _store_results(
        self,
        pending_by_gap: Mapping[FillGap, PendingGap],
        results: Mapping[FillGap, FillResult],
        *,
        is_final: bool = False,
    ) -> None:
        """Store and log the results of gaps. With `is_final` a finite run does not retry them."""
        attempts = []
        results = {
            gap: self._limit_fills(pending_by_gap[gap], result) for gap, result in results.items()
        }
        for gap, result in results.items():
            pending_gap, is_permanent = pending_by_gap[gap], result.status is FillStatus.UNAVAILABLE
            is_later = result.status is FillStatus.RETRY
            self._schedule.record(pending_gap, is_final=is_final or not is_later)
            # A gap that was given up keeps its row if the response proves nothing.
            if not (pending_gap.given_up and is_later):
                state = UNREPAIRABLE if is_permanent else REPAIRING
                attempts.append(GapAttempt(pending_gap, state, result.reason))
        self._log_results(results)
        if attempts:
            self._gaps.write(attempts)

    def _limit_fills(self, pending_gap: PendingGap, result: FillResult) -> FillResult:
        """Return the result, or one that gives the gap up if its trades came too often in vain.

        If its trades are stored after all, the deduplication step marks the gap as repaired.
        """
        if result.status is not FillStatus.FILLED:
            return result
        if self._schedule.count_filled(pending_gap) < MAX_UNREADABLE_FILLS:
            return result
        times = f"asked for {MAX_UNREADABLE_FILLS} times"
        reason = f"{times}: its trades came and were not stored, see dead_letters"
        return FillResult(FillStatus.UNAVAILABLE, reason)

    def _log_results(self, results: Mapping[FillGap, FillResult]) -> None:
        """Log one line for each reason why gaps stay open."""
        gaps_by_result: dict[FillResult, list[FillGap]] = {}
        for gap, result in results.items():
            if result.status is not FillStatus.FILLED:
                gaps_by_result.setdefault(result, []).append(gap)
        for result, gaps in gaps_by_result.items():
            level = logging.WARNING if result.status is FillStatus.UNAVAILABLE else logging.INFO
            first = f"{gaps[0].symbol} {gaps[0].first} to {gaps[0].last}"
            more = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
            _log.log(level, "%s: gap %s%s: %s", self._exchange, first, more, result.reason)


def _with_history(pending_gap: PendingGap, result: FillResult) -> FillResult:
    """Combine a result with the stored result of earlier requests."""
    return result if pending_gap.given_up else result.confirm(pending_gap.reason)


def _now() -> int:
    return time.time_ns() // 1000
