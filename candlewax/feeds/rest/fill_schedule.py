"""Schedule of gap filling: which gaps are requested, and when."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from candlewax.clickhouse.gap_table import PendingGap
from candlewax.core.gaps.fill_plan import SETTLE_US, FillGap
from candlewax.feeds.rest.client import Client


@dataclass(frozen=True)
class FillTiming:
    """Times of gap filling, in seconds.

    A new gap has `settle_s` to close by itself, as trades arrive out of order. Retries start after
    `first_retry_s` and double up to `max_retry_s`. The table is polled every `poll_s`. A gap is
    given up if two responses, `confirm_s` apart, lack its trades, and the trades were at least
    `proof_age_s` old. A finite run tries each gap `tries` times.
    """

    settle_s: float = 3.0
    first_retry_s: float = 5.0
    max_retry_s: float = 300.0
    poll_s: float = 1.0
    proof_age_s: float = SETTLE_US / 1e6
    confirm_s: float = 180.0
    tries: int = 3

    def is_due(self, gap: PendingGap) -> bool:
        """Return True if a gap is due, by the times in its row."""
        if not gap.gap.attempts:
            return gap.age_s >= self.settle_s
        if gap.needs_confirmation:
            return gap.idle_s >= self.confirm_s
        backoff_s: float = self.first_retry_s * 2 ** min(gap.gap.attempts - 1, 30)
        return gap.idle_s >= min(backoff_s, self.max_retry_s)


@dataclass(frozen=True)
class GapSelection:
    """Selection of the gaps that a run requests.

    Limited to `symbols` and to gaps that begin with the numbers in `firsts`, where these are not
    empty. With `include_given_up` it also holds gaps that were given up. The limit on the length of
    a gap does not apply to gaps named in `firsts`.
    """

    include_given_up: bool = False
    symbols: frozenset[str] = frozenset()
    firsts: frozenset[int] = frozenset()

    def is_named(self, gap: FillGap) -> bool:
        """Return True if a gap is named by its first number."""
        return gap.first in self.firsts


class IdleWork(Protocol):
    """Work that sends requests to the exchange while no gap is due."""

    def run(self, client: Client, end: float) -> None:
        """Work until `end`, a monotonic time in seconds; a request in progress may take longer."""


Key = tuple[str, int, int, int]
"""Symbol, numbering, first and last number of a gap."""


@dataclass
class AttemptLog:
    """Attempts of this process for each pending gap.

    `attempts` counts requests, `requested_at` is the monotonic time of the last one, `filled`
    counts responses that held all trades of the gap.
    """

    attempts: dict[Key, int] = field(default_factory=dict)
    requested_at: dict[Key, float] = field(default_factory=dict)
    filled: Counter[Key] = field(default_factory=Counter)

    def keep(self, gaps: Iterable[PendingGap]) -> None:
        """Drop gaps that are no longer pending, so that memory stays bounded."""
        pending = {key_of(gap) for gap in gaps}
        for counts in (self.attempts, self.requested_at, self.filled):
            for key in counts.keys() - pending:
                del counts[key]


class Schedule:
    """Schedule of the requests for gaps of one exchange.

    With `is_finite` each gap is tried a fixed number of times, without pauses.
    """

    def __init__(
        self, timing: FillTiming, *, is_finite: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._timing = timing
        self._is_finite = is_finite
        self._now = now
        self._attempt_log = AttemptLog()

    def keep(self, gaps: Iterable[PendingGap]) -> None:
        """Drop the attempts of gaps that are no longer pending."""
        self._attempt_log.keep(gaps)

    def is_due(self, gap: PendingGap) -> bool:
        """Return True if a gap is due.

        If this process made the first request, the confirming one waits by the monotonic clock: the
        times in the table come from wall clocks, which can be stepped.
        """
        requested_at = self._attempt_log.requested_at.get(key_of(gap))
        if gap.needs_confirmation and requested_at is not None:
            return self._now() - requested_at >= self._timing.confirm_s
        if gap.needs_confirmation or not self._is_finite:
            return self._timing.is_due(gap)
        return self._attempt_log.attempts.get(key_of(gap), 0) < self._timing.tries

    def record(self, gap: PendingGap, *, is_final: bool) -> None:
        """Record a request for a gap. With `is_final` a finite run does not retry it."""
        key = key_of(gap)
        self._attempt_log.requested_at[key] = self._now()
        attempts = self._attempt_log.attempts.get(key, 0) + 1
        self._attempt_log.attempts[key] = self._timing.tries if is_final else attempts

    def count_filled(self, gap: PendingGap) -> int:
        """Count a response with all trades of a gap. Return the count."""
        self._attempt_log.filled[key_of(gap)] += 1
        return self._attempt_log.filled[key_of(gap)]


def key_of(gap: PendingGap) -> Key:
    """Return the key of a gap."""
    return gap.gap.symbol, gap.row.get("numbering", 0), gap.gap.first, gap.gap.last
