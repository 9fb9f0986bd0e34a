"""Filling gaps as a source: trades that exchanges are asked for by REST."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bytewax.inputs import FixedPartitionedSource

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.gap_table import REPAIRING, UNREPAIRABLE, GapAttempt, GapTable, PendingGap
from candlewax.core.frames import FROM_REST, SourceItem
from candlewax.core.gaps.fill_plan import (
    FillCursor,
    FillGap,
    FillResult,
    FillStatus,
    GapGroup,
    group_gaps,
    too_long,
)
from candlewax.exchanges.protocol.rest import RestRules
from candlewax.feeds.rest.client import Answer, Client, RefusalError, RetryPolicy
from candlewax.feeds.rest.fill_schedule import Choice, FillTiming, Schedule
from candlewax.feeds.rest.worker import WorkerPartition, WorkerThread
from candlewax.runtime.counters import Counters

WAITING: Final = 16
"""Answers that may wait to be taken; then the exchange is not asked on."""

MAX_UNREADABLE_FILLS: Final = 10
"""Answers that hold all of a gap, after which it is given up if it is still there: what came
cannot be read.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestEndpoint:
    """How an exchange is asked: where, if not at its own address, with which key, and whether it
    must be the simulator (None if that is open).
    """

    rest: RestRules
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    is_simulated: bool | None = None


class _GapFiller:
    """Asks one exchange. `finite` ends it when nothing is left."""

    def __init__(
        self,
        exchange: str,
        asked: RestEndpoint,
        database: Database,
        tally: Counters,
        pace: FillTiming,
        patience: RetryPolicy,
        choice: Choice,
        *,
        finite: bool,
    ) -> None:
        self._exchange = exchange
        self._asked = asked
        self._database = database
        self._tally = tally
        self._pace = pace
        self._patience = patience
        self._finite = finite
        self._choice = choice
        self._refusals = 0
        self._why: str | None = None
        self._schedule = Schedule(pace, finite=finite)
        self._seq: dict[str, int] = {}

    def work(self, outlet: WorkerThread) -> None:
        """Ask for what is due, over and over."""
        self._outlet = outlet
        self._gaps = GapTable(self._database, self._exchange, outlet.pause)
        asked = self._asked
        self._client = Client(
            asked.rest,
            asked.url,
            asked.key,
            is_simulated=asked.is_simulated,
            wait=outlet.wait,
            patience=self._patience,
        )
        try:
            while self._round() or not self._finite:
                outlet.pause(self._pace.poll_s)
        finally:
            self._client.close()

    def _round(self) -> bool:
        """Ask for what is due; tells whether that was anything."""
        chosen = self._choice
        there = self._gaps.left(chosen.symbols, chosen.firsts, again=chosen.again)
        self._schedule.keep(there)
        due = [left for left in there if self._schedule.is_due(left)]
        lefts = {left.gap: left for left in due}
        long = self._leave_long(lefts)
        for stretch in group_gaps(lefts.keys() - long, self._asked.rest.page):
            self._why = None
            found = self._fill(stretch)
            self._write(lefts, {gap: _proven(lefts[gap], one) for gap, one in found.items()})
            if self._why is not None:
                self._refused(lefts, self._why)
                break
        return bool(due)

    def _leave_long(self, lefts: Mapping[FillGap, PendingGap]) -> set[FillGap]:
        """Give up gaps that are too long to be asked for; gives them."""
        long = {
            gap: FillResult(FillStatus.NEVER, reason)
            for gap in lefts
            if not self._choice.names(gap) and (reason := too_long(gap))
        }
        known = {gap for gap in long if lefts[gap].given_up}
        for gap in known:
            self._schedule.note(lefts[gap], over=True)
        self._write(lefts, {gap: one for gap, one in long.items() if gap not in known})
        return set(long)

    def _refused(self, lefts: Mapping[FillGap, PendingGap], why: str) -> None:
        """Others have their turn later; who is to end gives up an exchange at last."""
        if self._finite and self._refusals >= self._pace.tries:
            later = FillResult(FillStatus.LATER, why)
            due = (gap for gap, left in lefts.items() if self._schedule.is_due(left))
            self._write(lefts, dict.fromkeys(due, later), over=True)

    def _fill(self, stretch: GapGroup) -> dict[FillGap, FillResult]:
        """Ask until all that is to be had has come."""
        native = self._gaps.native(stretch.gaps[0])
        if native is None:
            unknown = "nothing of this market is stored that says how the exchange calls it"
            return dict.fromkeys(stretch.gaps, FillResult(FillStatus.LATER, unknown))
        rest = self._asked.rest
        key = f"CANDLEWAX_{self._exchange.upper()}_KEY" if rest.key_needed else None
        walk = FillCursor(
            stretch, rest, None if self._asked.key else key, int(self._pace.sure_s * 1e6)
        )
        try:
            while self._take(native, walk, self._client.ask(walk.target(native))):
                pass
        except RefusalError as refusal:
            self._tally.increment(1, "rest", self._exchange, "refused")
            if refusal.is_permanent:
                return dict.fromkeys(stretch.gaps, FillResult(FillStatus.NEVER, refusal.reason))
            self._refusals, self._why = self._refusals + 1, refusal.reason
            return {gap: walk.refused(gap, refusal.reason, _now()) for gap in stretch.gaps}
        return {gap: walk.outcome(gap, _now()) for gap in stretch.gaps}

    def _take(self, native: str, walk: FillCursor, answer: Answer) -> bool:
        """Hand an answer on; tells whether there is more to ask for."""
        self._tally.increment(1, "rest", self._exchange, "answered")
        self._refusals = 0
        if answer.page.numbers or answer.page.unread:
            seq = self._seq.get(native, 0)
            self._seq[native] = seq + 1
            self._outlet.put((answer.received_ns, FROM_REST + native, seq, answer.text))
        return walk.take(answer.page)

    def _write(
        self,
        lefts: Mapping[FillGap, PendingGap],
        outcomes: Mapping[FillGap, FillResult],
        *,
        over: bool = False,
    ) -> None:
        """Write down what became of gaps, and say it. If `over` they are not tried again."""
        written = []
        outcomes = {gap: self._judged(lefts[gap], found) for gap, found in outcomes.items()}
        for gap, outcome in outcomes.items():
            left, never = lefts[gap], outcome.fate is FillStatus.NEVER
            later = outcome.fate is FillStatus.LATER
            self._schedule.note(left, over=over or not later)
            # Of what was given up, an answer that proves nothing changes nothing.
            if not (left.given_up and later):
                written.append(
                    GapAttempt(left, UNREPAIRABLE if never else REPAIRING, outcome.reason)
                )
        self._tell(outcomes)
        if written:
            self._gaps.write(written)

    def _judged(self, left: PendingGap, outcome: FillResult) -> FillResult:
        """The outcome, unless all of the gap has come too often. Whoever sees its trades after
        all says that it is repaired.
        """
        if outcome.fate is not FillStatus.CAME:
            return outcome
        if self._schedule.count_came(left) < MAX_UNREADABLE_FILLS:
            return outcome
        times = f"asked for {MAX_UNREADABLE_FILLS} times"
        why = f"{times}: its trades came and were not stored, see dead_letters"
        return FillResult(FillStatus.NEVER, why)

    def _tell(self, outcomes: Mapping[FillGap, FillResult]) -> None:
        """A line for each reason why gaps stay."""
        kept: dict[FillResult, list[FillGap]] = {}
        for gap, outcome in outcomes.items():
            if outcome.fate is not FillStatus.CAME:
                kept.setdefault(outcome, []).append(gap)
        for outcome, gaps in kept.items():
            level = logging.WARNING if outcome.fate is FillStatus.NEVER else logging.INFO
            first = f"{gaps[0].symbol} {gaps[0].first} to {gaps[0].last}"
            more = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
            _log.log(level, "%s: gap %s%s: %s", self._exchange, first, more, outcome.reason)


def _proven(left: PendingGap, found: FillResult) -> FillResult:
    """Return what is known of a gap, given an answer and those before it."""
    return found if left.given_up else found.after(left.reason)


def _now() -> int:
    return time.time_ns() // 1000


class GapFillSource(FixedPartitionedSource[SourceItem, None]):
    """Asks exchanges by REST for the trades that the table `gaps` says nobody has seen.

    Emits the answers as frames of the connection `rest/<native symbol>`, verbatim, and
    writes into the table how often each gap was asked for and what came of it. Whether it
    is filled is said by who sees the trades. An exchange that refuses is asked again, with
    growing pauses, for ever; given up is only what two answers lack, minutes apart and for the
    same reason, what is too long, and what came whole MAX_UNREADABLE_FILLS times and is not there:
    it cannot be read. A `choice` may ask again for what was given up.

    Unit of parallelism: an exchange, in a thread of its own, so that no worker waits for
    an answer. Delivery: at least once; a gap whose trades were not stored is asked for
    again. Ends when `stopping`, or if `finite` when nothing is left to ask.
    """

    def __init__(
        self,
        asked: Mapping[str, RestEndpoint],
        database: Database,
        tally: Counters,
        stopping: Callable[[], bool] = lambda: False,
        *,
        pace: FillTiming | None = None,
        patience: RetryPolicy | None = None,
        finite: bool = False,
        choice: Choice | None = None,
    ) -> None:
        """`asked` says how, by exchange, `choice` for which gaps; for all that are not given up if
        there is none.
        """
        self._asked = asked
        self._database = database
        self._tally = tally
        self._stopping = stopping
        self._pace = pace or FillTiming()
        self._patience = patience or RetryPolicy()
        self._finite = finite
        self._choice = choice or Choice()

    def list_parts(self) -> list[str]:
        return list(self._asked)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> WorkerPartition:
        filler = _GapFiller(
            for_part,
            self._asked[for_part],
            self._database,
            self._tally,
            self._pace,
            self._patience,
            self._choice,
            finite=self._finite,
        )
        outlet = WorkerThread(f"rest-{for_part}", filler.work, WAITING)
        return WorkerPartition(for_part, outlet, self._tally, self._stopping)
