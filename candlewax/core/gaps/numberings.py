"""Numberings of a market: the runs of numbers that its exchange has begun.

Nearly every market has one. Where an exchange begins its numbers anew (it restarted, or a market
was listed again), later trades come with numbers far below those known: a new numbering opens.
Where the trades of before come last, by a backfill, they are of an older one. The numberings of a
market follow each other in time, so that its number and its time tell to which one a trade
belongs, in whatever order and batches trades come. Pure state, without frames.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from candlewax.core.gaps.sequence_ranges import SequenceRanges

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


def seams(
    numbered: Mapping[str, SequenceRanges], names: Mapping[str, tuple[str, int]]
) -> set[tuple[str, int]]:
    """Return the symbols and the times at which one numbering ended and another one followed: those
    of the last trade of the one and of the first of the other, as nothing proves that none lies
    between. `numbered` are the numbers known by series, `names` those to look at, by symbol and
    numbering.
    """
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for name, (symbol, numbering) in names.items():
        ranges = numbered[name]
        if ranges.end:
            spans.setdefault(symbol, []).append((ranges.end[-1], numbering, ranges.begin[0]))
    return {
        (symbol, time)
        for symbol, found in spans.items()
        for (end, *_), (*_, begin) in pairwise(sorted(found))
        for time in (end, begin)
    }


class Start(NamedTuple):
    """Where one numbering follows another: the first number known of it and the time of that
    trade; the time of the latest trade known of the one before, and its last number then; and its
    name. Times in microseconds since 1970.
    """

    first: int
    began: int
    before: int
    last: int
    numbering: int


class Opening(NamedTuple):
    """A numbering that a trade opened, and the beginning that is known by it: its own, or, if it is
    an older one, that of the one that was the oldest.
    """

    numbering: int
    start: Start


@dataclass
class Numberings:
    """The numberings of an exchange's markets.

    They are named by the order in which they became known, from 0 on. `starts`: by symbol, in the
    order of time, the beginnings of all but the oldest. `latest` and `earliest`: by symbol the
    times of the latest and the earliest numbered trade, in microseconds since 1970.
    """

    starts: dict[str, list[Start]] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)
    earliest: dict[str, int] = field(default_factory=dict)

    def see(self, symbol: str, earliest: int, latest: int) -> None:
        """Remember the times of numbered trades."""
        if latest > self.latest.get(symbol, -(2**63)):
            self.latest[symbol] = latest
        if earliest < self.earliest.get(symbol, 2**63):
            self.earliest[symbol] = earliest

    def span(self, symbol: str) -> tuple[int | None, int | None]:
        """Return the times of the earliest and of the latest numbered trade."""
        return self.earliest.get(symbol), self.latest.get(symbol)

    def count(self, symbol: str) -> int:
        """Return how many numberings a symbol has."""
        return len(self.starts.get(symbol, ())) + 1

    def newest(self, symbol: str) -> int:
        """Return the name of the newest numbering of a symbol."""
        return self._name(symbol, len(self.starts.get(symbol, ())))

    def _name(self, symbol: str, place: int) -> int:
        """Return the name of a numbering by its place in the order of time."""
        starts = self.starts.get(symbol, [])
        if place:
            return starts[place - 1].numbering
        # All but one have a beginning.
        return len(starts) * (len(starts) + 1) // 2 - sum(start.numbering for start in starts)

    def is_newest(self, symbol: str, time: int) -> bool:
        """Return whether a time lies in the newest numbering of a symbol that has several."""
        return time >= self.starts[symbol][-1].began

    def may_be_older(self, symbol: str, first: int, number: int, time: int) -> bool:
        """Return whether a trade may be of an older numbering than the oldest known, of which
        `first` is the lowest number: it is earlier than all, and its number is far above.
        """
        return time < self.earliest.get(symbol, time) and is_far_below(first, number)

    def place(
        self, symbol: str, number: int, time: int, known: Mapping[str, SequenceRanges]
    ) -> tuple[int, Opening | None]:
        """Return the numbering of a trade, and what opened if the trade opens one. `known` are
        the numbers seen, by series.
        """
        opening = self._later(symbol, number, time, known)
        opening = opening or self._older(symbol, number, time, known)
        if opening:
            return opening.numbering, opening
        starts = self.starts.get(symbol, [])
        return self._name(symbol, self._by_time(starts, number, time)), None

    def _later(
        self, symbol: str, number: int, time: int, known: Mapping[str, SequenceRanges]
    ) -> Opening | None:
        """Open a numbering after all others, if a trade begins one."""
        newest = known.get(series(symbol, self.newest(symbol)))
        if not newest or not newest.first or time <= self.latest.get(symbol, time):
            return None
        last = newest.last[-1]
        anew = is_far_below(number, last) and not newest.follows(number)
        if not anew and not (number - last >= FAR and self._resumes(symbol, number, known)):
            return None
        name = self.count(symbol)
        start = Start(number, time, self.latest[symbol], last, name)
        self.starts.setdefault(symbol, []).append(start)
        return Opening(name, start)

    def _older(
        self, symbol: str, number: int, time: int, known: Mapping[str, SequenceRanges]
    ) -> Opening | None:
        """Open a numbering before all others, if a trade is of one."""
        oldest = self._name(symbol, 0)
        ranges = known.get(series(symbol, oldest))
        if not ranges or not ranges.first:
            return None
        below, above = ranges.neighbours(number)
        near_below = below is not None and not is_far_below(below, number)
        near_above = above is not None and not is_far_below(number, above)
        if near_below or near_above:
            # It is near one that is known: only its time is odd.
            return None
        if not self.may_be_older(symbol, ranges.first[0], number, time):
            return None
        name = self.count(symbol)
        start = Start(ranges.first[0], self.earliest[symbol], time, number, oldest)
        self.starts.setdefault(symbol, []).insert(0, start)
        return Opening(name, start)

    def _resumes(self, symbol: str, number: int, known: Mapping[str, SequenceRanges]) -> bool:
        """Return whether a number follows closely on the last one of the numbering before, of
        which the newest one was only an interruption of a few numbers.
        """
        newest = len(self.starts.get(symbol, ()))
        if not newest or known[series(symbol, self.newest(symbol))].count() > _FEW:
            return False
        before = known.get(series(symbol, self._name(symbol, newest - 1)))
        return bool(before and before.last and 0 < number - before.last[-1] < FAR)

    @staticmethod
    def _by_time(starts: list[Start], number: int, time: int) -> int:
        """Return the place of a trade's numbering in the order of time. It depends on nothing that
        comes later, so that a trade that comes again is found where it was.
        """
        place = bisect_right(starts, time, key=lambda start: start.began)
        if place == len(starts) or time <= starts[place].before:
            return place
        # Between the last trade before and the first one of a numbering the number decides.
        start = starts[place]
        return place + (abs(number - start.first) < abs(number - start.last))

    def copy(self) -> "Numberings":
        """Return a copy that later changes do not reach."""
        starts = {symbol: starts[:] for symbol, starts in self.starts.items()}
        return Numberings(starts, dict(self.latest), dict(self.earliest))
