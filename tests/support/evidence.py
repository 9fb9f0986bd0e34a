"""The holes between the numbers of trades, found the slow way.

Nothing here calls the program under test.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from tests.support.oracle import Fill

Market = tuple[str, str]


@dataclass(frozen=True)
class Hole:
    """Numbers that never came; times of the trades beside it, microseconds since 1970."""

    first: int
    last: int
    before: int
    after: int

    @property
    def count(self) -> int:
        """How many numbers it is."""
        return self.last - self.first + 1


def holes(fills: Iterable[Fill]) -> dict[Market, list[Hole]]:
    """The holes of each market, in order."""
    found: dict[Market, list[Hole]] = {}
    times: dict[Market, dict[int, int]] = {}
    for fill in fills:
        if fill.sequence:
            times.setdefault((fill.exchange, fill.symbol), {})[fill.sequence] = fill.time
    for market, seen in times.items():
        numbers = sorted(seen)
        for low, high in pairwise(numbers):
            if high > low + 1:
                ends = sorted((seen[low], seen[high]))
                found.setdefault(market, []).append(Hole(low + 1, high - 1, *ends))
    return found
