"""Numberings of a market: its runs of sequence numbers.

Nearly every market has one. If an exchange restarts its numbers (after a restart, or a new listing
of a market), later trades have numbers far below the known ones: a new numbering opens. Trades from
before the restart may also come last, by a backfill; they belong to an older numbering. The
numberings of a market follow each other in time. So number and time tell the numbering of a trade,
whatever the order and the batches of the trades. Pure state, without frames.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from candlewax.core.gaps.sequence_ranges import SequenceRanges

_MARK: Final = "\x1f"

FAR_BELOW: Final = 1_000
"""A number at least this far below the last one starts a new numbering."""

_HALF_MIN_DISTANCE: Final = 20
"""A number in the lower half of the known numbers does so too, if it is this far below."""

_SLIP_NUMBERS: Final = 10
"""Most numbers of a numbering that counts as a slip of the exchange."""


def series(symbol: str, numbering: int) -> str:
    """Return the name of a numbering of a symbol; the first one has the name of the symbol."""
    return f"{symbol}{_MARK}{numbering}" if numbering else symbol


def split_series(name: str) -> tuple[str, int]:
    """Return the symbol and the numbering of a series name."""
    symbol, _, numbering = name.partition(_MARK)
    return symbol, int(numbering or 0)


def is_far_below(number: int, last: int) -> bool:
    """Return whether a number lies so far below the last one that it starts a new numbering."""
    below = last - number
    return below >= FAR_BELOW or (below >= _HALF_MIN_DISTANCE and 2 * number <= last)


def find_boundaries(
    ranges_by_series: Mapping[str, SequenceRanges], names: Mapping[str, tuple[str, int]]
) -> set[tuple[str, int]]:
    """Return the symbols and times at which one numbering ended and another followed.

    The times are those of the last trade of one numbering and the first of the next: trades between
    them may be missing. `names`: the series to check, with symbol and numbering.
    """
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for name, (symbol, numbering) in names.items():
        ranges = ranges_by_series[name]
        if ranges.end:
            spans.setdefault(symbol, []).append((ranges.end[-1], numbering, ranges.begin[0]))
    return {
        (symbol, time)
        for symbol, ends in spans.items()
        for (end, *_), (*_, begin) in pairwise(sorted(ends))
        for time in (end, begin)
    }


@dataclass
class BoundaryFinder:
    """Boundaries between the numberings of an exchange; looks only at symbols with several."""

    _restarted: dict[str, tuple[str, int]] = field(default_factory=dict)
    _series_count: int = 0

    def find(self, ranges_by_series: Mapping[str, SequenceRanges]) -> set[tuple[str, int]]:
        """Return the symbols and times at which one numbering ended and another followed."""
        if self._series_count < len(ranges_by_series):
            self._series_count = len(ranges_by_series)
            names = {name: split_series(name) for name in ranges_by_series}
            restarted = {symbol for symbol, numbering in names.values() if numbering}
            self._restarted = {name: key for name, key in names.items() if key[0] in restarted}
        return find_boundaries(ranges_by_series, self._restarted) if self._restarted else set()


class Start(NamedTuple):
    """Boundary at which a numbering follows another.

    `first`: its first known number, `began`: the time of that trade. `before`: the time of the
    latest known trade of the previous numbering, `last`: its last number then. Times in
    microseconds since 1970.
    """

    first: int
    began: int
    before: int
    last: int
    numbering: int


class Opening(NamedTuple):
    """A numbering that a trade opened, and the boundary that became known.

    The boundary is that of the new numbering. If the new one is the oldest, it is that of the one
    that was the oldest before.
    """

    numbering: int
    start: Start


@dataclass
class Numberings:
    """Numberings of an exchange's markets.

    They are named from 0 on, in the order in which they became known. `starts`: by symbol, the
    boundaries of all but the oldest, in the order of time. `latest` and `earliest`: by symbol, the
    times of the latest and the earliest numbered trade, in microseconds since 1970.
    """

    starts: dict[str, list[Start]] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)
    earliest: dict[str, int] = field(default_factory=dict)

    def record_times(self, symbol: str, earliest: int, latest: int) -> None:
        """Record the times of the earliest and the latest of some numbered trades."""
        if latest > self.latest.get(symbol, -(2**63)):
            self.latest[symbol] = latest
        if earliest < self.earliest.get(symbol, 2**63):
            self.earliest[symbol] = earliest

    def time_span(self, symbol: str) -> tuple[int | None, int | None]:
        """Return the times of the earliest and the latest numbered trade."""
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
        # All but the oldest stand in `starts`: the missing name is the difference to the full sum.
        return len(starts) * (len(starts) + 1) // 2 - sum(start.numbering for start in starts)

    def is_newest(self, symbol: str, time: int) -> bool:
        """Return whether a time lies in the newest numbering of a symbol that has several."""
        return time >= self.starts[symbol][-1].began

    def may_be_older(self, symbol: str, first: int, number: int, time: int) -> bool:
        """Return whether a trade may belong to a numbering before the oldest known one.

        It is earlier than all trades, and its number lies far above `first`, the lowest number of
        the oldest numbering.
        """
        return time < self.earliest.get(symbol, time) and is_far_below(first, number)

    def assign(
        self, symbol: str, number: int, time: int, ranges_by_series: Mapping[str, SequenceRanges]
    ) -> tuple[int, Opening | None]:
        """Return the numbering of a trade, and the opening if the trade opens one.

        `ranges_by_series`: the received numbers by series.
        """
        opening = self._open_later(symbol, number, time, ranges_by_series)
        opening = opening or self._open_older(symbol, number, time, ranges_by_series)
        if opening:
            return opening.numbering, opening
        starts = self.starts.get(symbol, [])
        return self._name(symbol, self._place_by_time(starts, number, time)), None

    def _open_later(
        self, symbol: str, number: int, time: int, ranges_by_series: Mapping[str, SequenceRanges]
    ) -> Opening | None:
        """Open a numbering after all others if the trade starts one."""
        newest = ranges_by_series.get(series(symbol, self.newest(symbol)))
        if not newest or not newest.first or time <= self.latest.get(symbol, time):
            return None
        last = newest.last[-1]
        is_restart = is_far_below(number, last) and not newest.follows(number)
        if not is_restart and not (
            number - last >= FAR_BELOW and self._resumes_previous(symbol, number, ranges_by_series)
        ):
            return None
        name = self.count(symbol)
        start = Start(number, time, self.latest[symbol], last, name)
        self.starts.setdefault(symbol, []).append(start)
        return Opening(name, start)

    def _open_older(
        self, symbol: str, number: int, time: int, ranges_by_series: Mapping[str, SequenceRanges]
    ) -> Opening | None:
        """Open a numbering before all others if the trade belongs to one."""
        oldest = self._name(symbol, 0)
        ranges = ranges_by_series.get(series(symbol, oldest))
        if not ranges or not ranges.first:
            return None
        below, above = ranges.neighbours(number)
        near_below = below is not None and not is_far_below(below, number)
        near_above = above is not None and not is_far_below(number, above)
        if near_below or near_above:
            # The number is near a known one: only the time is odd.
            return None
        if not self.may_be_older(symbol, ranges.first[0], number, time):
            return None
        name = self.count(symbol)
        start = Start(ranges.first[0], self.earliest[symbol], time, number, oldest)
        self.starts.setdefault(symbol, []).insert(0, start)
        return Opening(name, start)

    def _resumes_previous(
        self, symbol: str, number: int, ranges_by_series: Mapping[str, SequenceRanges]
    ) -> bool:
        """Return whether a number follows closely on the previous numbering.

        The newest numbering must hold a few numbers only: then it was an interruption.
        """
        newest = len(self.starts.get(symbol, ()))
        if (
            not newest
            or ranges_by_series[series(symbol, self.newest(symbol))].count() > _SLIP_NUMBERS
        ):
            return False
        before = ranges_by_series.get(series(symbol, self._name(symbol, newest - 1)))
        return bool(before and before.last and 0 < number - before.last[-1] < FAR_BELOW)

    @staticmethod
    def _place_by_time(starts: list[Start], number: int, time: int) -> int:
        """Return the place of a trade's numbering in the order of time.

        The place does not depend on later trades, so a repeated trade gets the numbering it had.
        """
        place = bisect_right(starts, time, key=lambda start: start.began)
        if place == len(starts) or time <= starts[place].before:
            return place
        # Between the last trade of one numbering and the first of the next the number decides.
        start = starts[place]
        return place + (abs(number - start.first) < abs(number - start.last))

    def copy(self) -> "Numberings":
        """Return a copy that later changes do not reach."""
        starts = {symbol: starts[:] for symbol, starts in self.starts.items()}
        return Numberings(starts, dict(self.latest), dict(self.earliest))
