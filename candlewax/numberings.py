"""Numberings of a market: the runs of numbers that its exchange has begun.

Nearly every market has one. Where an exchange begins its numbers anew (it restarted, or a market
was listed again), later trades come with numbers far below those known: a new numbering opens.
The numberings of a market follow each other in time, so that its number and its time tell to
which one a trade belongs, in whatever order and batches trades come. Pure state, without frames.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from candlewax.ranges import Ranges

_MARK: Final = "\x1f"

FAR: Final = 1_000
"""A number that lies so far below the last one is far below it."""

_HALF_FROM: Final = 20
"""So is one in the lower half of the numbers known, if it is so far below."""

_FEW: Final = 10
"""Numbers of a numbering that may have been a slip of the exchange."""


def series(symbol: str, numbering: int) -> str:
    """Return the name of a numbering of a symbol; that of the first one is the symbol itself."""
    return f"{symbol}{_MARK}{numbering}" if numbering else symbol


def split_series(name: str) -> tuple[str, int]:
    """Return the symbol and the numbering that a name of a series means."""
    symbol, _, numbering = name.partition(_MARK)
    return symbol, int(numbering or 0)


def is_far_below(number: int, last: int) -> bool:
    """Return whether a number lies so far below the last one that it begins anew."""
    below = last - number
    return below >= FAR or (below >= _HALF_FROM and 2 * number <= last)


class Start(NamedTuple):
    """The beginning of a numbering after the first one: its first number and the time of that
    trade, and the time of the latest trade known before, in microseconds since 1970.
    """

    first: int
    began: int
    before: int


@dataclass
class Numberings:
    """The numberings of an exchange's markets.

    `starts`: by symbol the beginnings of all numberings but the first. `latest`: by symbol the
    time of the latest numbered trade, in microseconds since 1970.
    """

    starts: dict[str, list[Start]] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)

    def see(self, symbol: str, time: int) -> None:
        """Remember the time of a numbered trade."""
        if time > self.latest.get(symbol, -(2**63)):
            self.latest[symbol] = time

    def count(self, symbol: str) -> int:
        """Return how many numberings a symbol has."""
        return len(self.starts.get(symbol, ())) + 1

    def is_newest(self, symbol: str, time: int) -> bool:
        """Return whether a time lies in the newest numbering of a symbol that has several."""
        return time >= self.starts[symbol][-1].began

    def place(
        self, symbol: str, number: int, time: int, known: Mapping[str, Ranges]
    ) -> tuple[int, Start | None]:
        """Return the numbering of a trade, and its start if the trade opens it. `known` are the
        numbers seen, by series.
        """
        starts = self.starts.get(symbol, [])
        newest = known.get(series(symbol, len(starts)))
        if newest and newest.first and time > self.latest.get(symbol, time):
            last = newest.last[-1]
            anew = is_far_below(number, last) and not newest.follows(number)
            if anew or (number - last >= FAR and self._resumes(symbol, number, known)):
                start = Start(number, time, self.latest[symbol])
                self.starts.setdefault(symbol, []).append(start)
                return self.count(symbol) - 1, start
        return self._by_time(starts, symbol, number, time, known), None

    def _resumes(self, symbol: str, number: int, known: Mapping[str, Ranges]) -> bool:
        """Return whether a number follows closely on the last one of the numbering before, of
        which the newest one was only an interruption of a few numbers.
        """
        newest = len(self.starts.get(symbol, ()))
        if not newest or known[series(symbol, newest)].count() > _FEW:
            return False
        before = known.get(series(symbol, newest - 1))
        return bool(before and before.last and 0 < number - before.last[-1] < FAR)

    def _by_time(
        self,
        starts: list[Start],
        symbol: str,
        number: int,
        time: int,
        known: Mapping[str, Ranges],
    ) -> int:
        numbering = bisect_right(starts, time, key=lambda start: start.began)
        if numbering == len(starts) or time <= starts[numbering].before:
            return numbering
        # Between the last trade before and the first one of a numbering the number decides.
        earlier = known.get(series(symbol, numbering))
        last = earlier.last[-1] if earlier and earlier.last else 0
        nearer = abs(number - starts[numbering].first) < abs(number - last)
        return numbering + nearer

    def copy(self) -> "Numberings":
        """Return a copy that later changes do not reach."""
        starts = {symbol: starts[:] for symbol, starts in self.starts.items()}
        return Numberings(starts, dict(self.latest))
