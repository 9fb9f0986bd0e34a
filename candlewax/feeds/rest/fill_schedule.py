"""Which gaps are asked for, and when it is whose turn."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from candlewax.clickhouse.gap_table import PendingGap
from candlewax.core.gaps.fill_plan import SETTLE_US, FillGap


@dataclass(frozen=True)
class FillTiming:
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
    sure_s: float = SETTLE_US / 1e6
    second_s: float = 180.0
    tries: int = 3

    def due(self, left: PendingGap) -> bool:
        """Whether it is a gap's turn, by the times in its table."""
        if not left.gap.attempts:
            return left.age_s >= self.settle_s
        if left.doubted:
            return left.idle_s >= self.second_s
        doubled: float = self.first_s * 2 ** min(left.gap.attempts - 1, 30)
        return left.idle_s >= min(doubled, self.most_s)


@dataclass(frozen=True)
class Choice:
    """Which gaps a run asks for: of these `symbols`, beginning with these numbers (`firsts`), of
    all where there are none. If `again`, also gaps that were given up. A gap that is named by its
    first number is asked for however long it is.
    """

    again: bool = False
    symbols: frozenset[str] = frozenset()
    firsts: frozenset[int] = frozenset()

    def names(self, gap: FillGap) -> bool:
        """Return whether a gap is named by its first number."""
        return gap.first in self.firsts


Key = tuple[str, int, int, int]
"""The symbol, numbering, first and last number of a gap."""


@dataclass
class AttemptLog:
    """Of each gap that is left, how often it was `tried`, when it was `asked` last, by a clock
    that nobody sets, and how often all of it `came`.
    """

    tried: dict[Key, int] = field(default_factory=dict)
    asked: dict[Key, float] = field(default_factory=dict)
    came: Counter[Key] = field(default_factory=Counter)

    def keep(self, left: Iterable[PendingGap]) -> None:
        """Forget those that are left no more: there is no end of them."""
        there = {key_of(one) for one in left}
        for known in (self.tried, self.asked, self.came):
            for key in known.keys() - there:
                del known[key]


class Schedule:
    """Tells when it is a gap's turn. One that is `finite` tries each some times, without
    pauses.
    """

    def __init__(
        self, pace: FillTiming, *, finite: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._pace = pace
        self._finite = finite
        self._now = now
        self._account = AttemptLog()

    def keep(self, left: Iterable[PendingGap]) -> None:
        """Forget all but those that are left."""
        self._account.keep(left)

    def is_due(self, left: PendingGap) -> bool:
        """Return whether it is a gap's turn.

        The second look at a gap waits by a clock that nobody sets, if this process had the first
        one: the times in the table are those of clocks that can be stepped.
        """
        asked = self._account.asked.get(key_of(left))
        if left.doubted and asked is not None:
            return self._now() - asked >= self._pace.second_s
        if left.doubted or not self._finite:
            return self._pace.due(left)
        return self._account.tried.get(key_of(left), 0) < self._pace.tries

    def note(self, left: PendingGap, *, over: bool) -> None:
        """Note that a gap was asked for; if `over`, a finite run does so no more."""
        key = key_of(left)
        self._account.asked[key] = self._now()
        tried = self._account.tried.get(key, 0) + 1
        self._account.tried[key] = self._pace.tries if over else tried

    def count_came(self, left: PendingGap) -> int:
        """Return how often all of a gap came, this time included."""
        self._account.came[key_of(left)] += 1
        return self._account.came[key_of(left)]


def key_of(left: PendingGap) -> Key:
    """Return what a gap is known by."""
    return left.gap.symbol, left.row.get("numbering", 0), left.gap.first, left.gap.last
