"""Schedule of live reconciliation: when a round begins, and which ones are due again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Key = tuple[str, int, int, int]
"""Symbol, start in seconds since 1970, version and revision of a candle."""

_MOST_DOUBLINGS: Final = 20


@dataclass(frozen=True)
class Timing:
    """Times of reconciliation, in seconds.

    A round every `every_s` compares the candles of the last `recent_s`, and every `full_every`-th
    one those of the last `reach_s`; older ones stay uncompared. A candle is compared `settle_s`
    after its end. Until `confirm_s` after it, a candle that is not equal is compared again before
    it is told: the exchange may not have finished its own. It is then compared again after
    `retry_s`, which doubles. A minute without a candle of ours is told `missing_s` after its end.
    After a failed request the next one waits `hold_s`, doubling up to `max_hold_s`.
    """

    every_s: float = 60.0
    recent_s: int = 15 * 60
    full_every: int = 15
    reach_s: int = 86_400
    settle_s: int = 5
    confirm_s: float = 180.0
    retry_s: float = 840.0
    missing_s: int = 600
    hold_s: float = 60.0
    max_hold_s: float = 900.0


class Schedule:
    """Schedule of one exchange. The first round begins after `every_s`, and is a full one.

    `monotonic` is a clock in seconds.
    """

    def __init__(self, timing: Timing, monotonic: Callable[[], float]) -> None:
        self._timing = timing
        self._monotonic = monotonic
        self._next_round = monotonic() + timing.every_s
        self._rounds = 0
        self._held_until = monotonic()
        self._failures = 0
        self._due_at: dict[Key, float] = {}
        self._attempts: dict[Key, int] = {}

    def is_round_due(self) -> bool:
        """Return True if it is time for the next round."""
        return self._monotonic() >= self._next_round

    def begin_round(self) -> int:
        """Record a round. Return how many seconds back it reaches."""
        timing = self._timing
        self._next_round = self._monotonic() + timing.every_s
        is_full = self._rounds % timing.full_every == 0
        self._rounds += 1
        if not is_full:
            return timing.recent_s
        # Candles that left the reach are not compared again, so memory stays bounded.
        oldest = self._monotonic() - timing.reach_s
        for key in [key for key, due_at in self._due_at.items() if due_at < oldest]:
            del self._due_at[key], self._attempts[key]
        return timing.reach_s

    def repeat_round(self) -> None:
        """Let the next round be a full one, as this one failed."""
        self._rounds = 0

    def is_due(self, key: Key) -> bool:
        """Return True if a candle is to be compared now."""
        return self._monotonic() >= self._due_at.get(key, 0.0)

    def retry(self, key: Key, *, is_final: bool) -> None:
        """Compare a candle that is not equal again: soon, or `retry_s` later if it was told."""
        if not is_final:
            self._due_at[key], self._attempts[key] = self._monotonic(), 0
            return
        attempts = self._attempts.get(key, 0)
        wait_s = self._timing.retry_s * 2 ** min(attempts, _MOST_DOUBLINGS)
        self._due_at[key] = self._monotonic() + wait_s
        self._attempts[key] = attempts + 1

    @property
    def is_held(self) -> bool:
        """Return True while requests wait after a failure."""
        return self._monotonic() < self._held_until

    def hold(self) -> None:
        """Hold requests after a failure."""
        wait_s = self._timing.hold_s * 2 ** min(self._failures, _MOST_DOUBLINGS)
        self._held_until = self._monotonic() + min(wait_s, self._timing.max_hold_s)
        self._failures += 1

    def release(self) -> None:
        """Record an answered request."""
        self._failures = 0
