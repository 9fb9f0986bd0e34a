"""Filling gaps as a source: trades that exchanges are asked for by REST."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bytewax.inputs import FixedPartitionedSource

from candlewax.connectors._gaps import REPAIRING, UNREPAIRABLE, Gaps, Left, Written
from candlewax.connectors._outlet import Outlet, OutletPart
from candlewax.connectors.clickhouse import Database
from candlewax.connectors.rest import Answer, Client, Patience, RefusalError
from candlewax.exchanges._rest import Rest
from candlewax.feed import FROM_REST, Feed
from candlewax.refill import SURE_US, Fate, Gap, Outcome, Stretch, Walk, stretches, too_long
from candlewax.tally import Tally

WAITING: Final = 16
"""Answers that may wait to be taken; then the exchange is not asked on."""

IN_VAIN: Final = 10
"""Answers that hold all of a gap, after which it is given up if it is still there: what came
cannot be read.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds: `settle_s` is left to a new gap to close by itself, as trades come out of
    order; it is asked for again after `first_s`, then twice as long each time up to
    `most_s`; the table is looked at every `poll_s`. An answer that lacks trades proves
    that there are none `sure_s` after them, if another one `second_s` later lacks them too.
    Who is to end tries a gap so many `tries`.
    """

    settle_s: float = 3.0
    first_s: float = 5.0
    most_s: float = 300.0
    poll_s: float = 1.0
    sure_s: float = SURE_US / 1e6
    second_s: float = 180.0
    tries: int = 3

    def due(self, left: Left) -> bool:
        """Whether it is a gap's turn."""
        if not left.gap.attempts:
            return left.age_s >= self.settle_s
        if left.doubted:
            return left.idle_s >= self.second_s
        doubled: float = self.first_s * 2 ** min(left.gap.attempts - 1, 30)
        return left.idle_s >= min(doubled, self.most_s)


@dataclass(frozen=True)
class Asked:
    """How an exchange is asked: where, if not at its own address, with which key, and whether it
    must be the simulator (None if that is open).
    """

    rest: Rest
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    is_simulated: bool | None = None


Key = tuple[str, int, int]
"""The symbol, first and last number of a gap."""


@dataclass
class Account:
    """Of each gap that is left, how often it was `tried` and how often all of it `came`."""

    tried: dict[Key, int] = field(default_factory=dict)
    came: Counter[Key] = field(default_factory=Counter)

    def keep(self, left: Iterable[Left]) -> None:
        """Forget those that are left no more: there is no end of them."""
        there = {_key(one) for one in left}
        for known in (self.tried, self.came):
            for key in known.keys() - there:
                del known[key]


class _Filler:
    """Asks one exchange. `finite` ends it when nothing is left."""

    def __init__(
        self, exchange: str, asked: Asked, database: Database, tally: Tally, pace: Pace,
        patience: Patience,
        *, finite: bool,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._asked = asked
        self._database = database
        self._tally = tally
        self._pace = pace
        self._patience = patience
        self._finite = finite
        self._refusals, self._why = 0, ""
        self._account = Account()
        self._seq: dict[str, int] = {}

    def work(self, outlet: Outlet) -> None:
        """Ask for what is due, over and over."""
        self._outlet = outlet
        self._gaps = Gaps(self._database, self._exchange, outlet.pause)
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
        there = self._gaps.left()
        self._account.keep(there)
        due = [left for left in there if self._due(left)]
        lefts = {left.gap: left for left in due}
        long = {gap: Outcome(Fate.NEVER, reason) for gap in lefts if (reason := too_long(gap))}
        self._write(lefts, long)
        for stretch in stretches(lefts.keys() - long.keys(), self._asked.rest.page):
            before = self._refusals
            found = self._fill(stretch).items()
            self._write(lefts, {g: one if lefts[g].doubted else one.doubted for g, one in found})
            if self._refusals > before:
                self._refused(lefts)
                break
        return bool(due)

    def _refused(self, lefts: Mapping[Gap, Left]) -> None:
        """Others have their turn later; who is to end gives up an exchange at last."""
        if self._finite and self._refusals >= self._pace.tries:
            self._write(
                lefts,
                {
                    gap: Outcome(Fate.LATER, self._why)
                    for gap, left in lefts.items()
                    if self._due(left)
                },
                over=True,
            )

    def _due(self, left: Left) -> bool:
        if not self._finite or left.doubted:
            return self._pace.due(left)
        return self._tries(left) < self._pace.tries

    def _fill(self, stretch: Stretch) -> dict[Gap, Outcome]:
        """Ask until all that is to be had has come."""
        native = self._gaps.native(stretch.gaps[0])
        if native is None:
            unknown = "nothing of this market is stored that says how the exchange calls it"
            return dict.fromkeys(stretch.gaps, Outcome(Fate.LATER, unknown))
        rest = self._asked.rest
        key = f"CANDLEWAX_{self._exchange.upper()}_KEY" if rest.key_needed else None
        walk = Walk(stretch, rest, None if self._asked.key else key, int(self._pace.sure_s * 1e6))
        try:
            while self._take(native, walk, self._client.ask(walk.target(native))):
                pass
        except RefusalError as refusal:
            self._tally.add(1, "rest", self._exchange, "refused")
            if refusal.never:
                return dict.fromkeys(stretch.gaps, Outcome(Fate.NEVER, refusal.reason))
            self._refusals, self._why = self._refusals + 1, refusal.reason
            return {gap: walk.refused(gap, refusal.reason, _now()) for gap in stretch.gaps}
        return {gap: walk.outcome(gap, _now()) for gap in stretch.gaps}

    def _take(self, native: str, walk: Walk, answer: Answer) -> bool:
        """Hand an answer on; tells whether there is more to ask for."""
        self._tally.add(1, "rest", self._exchange, "answered")
        self._refusals = 0
        if answer.page.numbers:
            seq = self._seq.get(native, 0)
            self._seq[native] = seq + 1
            self._outlet.put((answer.received_ns, FROM_REST + native, seq, answer.text))
        return walk.take(answer.page)

    def _write(
        self, lefts: Mapping[Gap, Left], outcomes: Mapping[Gap, Outcome], *, over: bool = False
    ) -> None:
        """Write down what became of gaps, and say it. If `over` they are not tried again."""
        written = []
        outcomes = {gap: self._judged(lefts[gap], found) for gap, found in outcomes.items()}
        for gap, outcome in outcomes.items():
            left, never = lefts[gap], outcome.fate is Fate.NEVER
            done = over or outcome.fate is not Fate.LATER
            tried = self._pace.tries if done else self._tries(left) + 1
            self._account.tried[_key(left)] = tried
            written.append(Written(left, UNREPAIRABLE if never else REPAIRING, outcome.reason))
        self._tell(outcomes)
        if written:
            self._gaps.write(written)

    def _judged(self, left: Left, outcome: Outcome) -> Outcome:
        """The outcome, unless all of the gap has come too often. Whoever sees its trades after
        all says that it is repaired.
        """
        if outcome.fate is not Fate.CAME:
            return outcome
        self._account.came[_key(left)] += 1
        if self._account.came[_key(left)] < IN_VAIN:
            return outcome
        why = f"asked for {IN_VAIN} times: its trades came and were not stored, see dead_letters"
        return Outcome(Fate.NEVER, why)

    def _tell(self, outcomes: Mapping[Gap, Outcome]) -> None:
        """A line for each reason why gaps stay."""
        kept: dict[Outcome, list[Gap]] = {}
        for gap, outcome in outcomes.items():
            if outcome.fate is not Fate.CAME:
                kept.setdefault(outcome, []).append(gap)
        for outcome, gaps in kept.items():
            level = logging.WARNING if outcome.fate is Fate.NEVER else logging.INFO
            first = f"{gaps[0].symbol} {gaps[0].first} to {gaps[0].last}"
            more = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
            _log.log(level, "%s: gap %s%s: %s", self._exchange, first, more, outcome.reason)

    def _tries(self, left: Left) -> int:
        return self._account.tried.get(_key(left), 0)


def _key(left: Left) -> Key:
    return left.gap.symbol, left.gap.first, left.gap.last


def _now() -> int:
    return time.time_ns() // 1000


class Repairs(FixedPartitionedSource[Feed, None]):
    """Asks exchanges by REST for the trades that the table `gaps` says nobody has seen.

    Emits the answers as frames of the connection `rest/<native symbol>`, verbatim, and
    writes into the table how often each gap was asked for and what came of it. Whether it
    is filled is said by who sees the trades. An exchange that refuses is asked again, with
    growing pauses, for ever; given up is only what two answers lack, minutes apart, and what
    came whole IN_VAIN times and still is not there: it cannot be read.

    Unit of parallelism: an exchange, in a thread of its own, so that no worker waits for
    an answer. Delivery: at least once; a gap whose trades were not stored is asked for
    again. Ends when `stopping`, or if `finite` when nothing is left to ask.
    """

    def __init__(
        self,
        asked: Mapping[str, Asked],
        database: Database,
        tally: Tally,
        stopping: Callable[[], bool] = lambda: False,
        *,
        pace: Pace | None = None,
        patience: Patience | None = None,
        finite: bool = False,
    ) -> None:
        """`asked` says how, by exchange."""
        self._asked = asked
        self._database = database
        self._tally = tally
        self._stopping = stopping
        self._pace = pace or Pace()
        self._patience = patience or Patience()
        self._finite = finite

    def list_parts(self) -> list[str]:
        return list(self._asked)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> OutletPart:
        filler = _Filler(
            for_part,
            self._asked[for_part],
            self._database,
            self._tally,
            self._pace,
            self._patience,
            finite=self._finite,
        )
        outlet = Outlet(f"rest-{for_part}", filler.work, WAITING)
        return OutletPart(for_part, outlet, self._tally, self._stopping)
