"""Which trades are asked for to fill gaps, and what an answer proves.

Pure functions. A gap is a run of numbers that an exchange gave out and nobody has seen.
Gaps near each other are asked for together, as a stretch. A number that answers span
without holding it does not exist: it is never asked for again. An exchange that refuses
proves nothing.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from candlewax.core.trades.limits import SLACK_US
from candlewax.exchanges.protocol.rest import Cursor, Page, RestRules

TOO_LONG: Final = 1_000_000
"""Numbers of a gap; a longer one is asked for only if somebody names it."""

_MARGIN_NS: Final = 1_000_000
"""How far before the trade in front of a gap is asked from: an exchange may tell the
same time with more or fewer digits by REST."""

SETTLE_US: Final = 60_000_000
"""How long after a gap an exchange's answer is taken for all there is: what it shows by
REST may come later than what it says on a websocket."""

_LATE_US: Final = 3_600_000_000
"""An exchange that shows nothing at all where a gap is so old will not show it later."""


@dataclass(frozen=True, order=True)
class FillGap:
    """Numbers not seen, from `first` to `last`, of trades between `before` and `after`
    (microseconds since 1970), in a numbering of the symbol. `attempts` is how often they were
    asked for.
    """

    symbol: str
    first: int
    last: int
    before: int
    after: int
    attempts: int = 0
    numbering: int = 0

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.last - self.first + 1

    def spans(self, time: int) -> bool:
        """Return whether a trade of a time may be one of those missing."""
        return self.before - SLACK_US <= time <= self.after + SLACK_US


@dataclass(frozen=True)
class GapGroup:
    """Gaps of one numbering of a symbol, in order, that are asked for together."""

    gaps: tuple[FillGap, ...]

    @property
    def symbol(self) -> str:
        """The symbol of all."""
        return self.gaps[0].symbol

    @property
    def first(self) -> int:
        """The first missing number."""
        return self.gaps[0].first

    @property
    def last(self) -> int:
        """The last missing number."""
        return self.gaps[-1].last


def group_gaps(gaps: Iterable[FillGap], page: int) -> list[GapGroup]:
    """Gaps put together where a page holds all of them and their neighbours, short ones
    first.
    """
    found: list[list[FillGap]] = []
    for gap in sorted(gaps, key=lambda gap: (_series(gap), gap)):
        near = found and _series(found[-1][0]) == _series(gap)
        if near and gap.last - found[-1][0].first + 3 <= page:
            found[-1].append(gap)
        else:
            found.append([gap])
    grouped = [GapGroup(tuple(group)) for group in found]
    return sorted(grouped, key=lambda stretch: stretch.last - stretch.first)


def _series(gap: FillGap) -> tuple[str, int]:
    return gap.symbol, gap.numbering


class FillStatus(Enum):
    """What is known of a gap once it was asked for."""

    CAME = "came"
    """All of it is in the answers."""
    NEVER = "never"
    """Some of it is not, and will not be."""
    LATER = "later"
    """Perhaps next time."""


@dataclass
class FillCursor:
    """The way through a stretch, answer by answer.

    From the number before the first one on, until a number behind the last one is shown:
    by then all there are between have come. `key` is what is missing where an exchange
    shows old trades with a key only.
    """

    stretch: GapGroup
    rest: RestRules
    key: str | None = None
    sure_us: int = SETTLE_US
    low: int = 0
    high: int = 0
    place: Cursor = field(init=False)

    def __post_init__(self) -> None:
        before = min(gap.before for gap in self.stretch.gaps)
        self.place = Cursor(self.stretch.first - 1, before * 1000 - _MARGIN_NS)
        self._held: Counter[FillGap] = Counter()
        self._unread = 0
        self._others: Counter[FillGap] = Counter()

    def target(self, native: str) -> str:
        """What to ask for next: no more than is needed."""
        if self.key:
            return self.rest.latest_path(native, self.rest.latest_page_rows)
        return self.rest.trades_path(native, self.place, self._limit)

    @property
    def _limit(self) -> int:
        needed = self.stretch.last - self.place.number + 2
        # Where times are asked for, the margin may hold any number.
        return self.rest.page_rows if self.rest.pages_by_time else min(self.rest.page_rows, needed)

    def take(self, page: Page) -> bool:
        """Take an answer; tells whether more is to be asked for."""
        further = self._note(page)
        if self.rest.page_counts_numbers:
            self.place = Cursor(self.place.number + self._limit)
            return self.place.number <= self.stretch.last + 1 and self.high <= self.stretch.last
        self.place = Cursor(self.high + 1, page.until_ns)
        return further and self.high <= self.stretch.last and not self.key

    def _note(self, page: Page) -> bool:
        """Note what an answer holds; tells whether it goes further than those before.

        Under the numbers of a gap an exchange that has begun its numbers anew shows other
        trades: those of a gap happened between its neighbours.
        """
        self._unread += page.unreadable_rows
        if not page.numbers:
            return False
        new = {
            n: time for n, time in zip(page.numbers, page.times_us, strict=True) if n > self.high
        }
        numbers = sorted(new)
        for gap in self.stretch.gaps:
            begin, end = bisect_left(numbers, gap.first), bisect_right(numbers, gap.last)
            held = sum(gap.spans(new[number]) for number in numbers[begin:end])
            self._held[gap] += held
            self._others[gap] += end - begin - held
        self.low = min(self.low or page.numbers[0], page.numbers[0])
        self.high = max(self.high, page.numbers[-1])
        return bool(numbers)

    def refused(self, gap: FillGap, reason: str, now: int) -> "FillResult":
        """What became of a gap when the exchange refused to go on."""
        found = self.outcome(gap, now)
        passed = found.fate is FillStatus.CAME or self.high > gap.last
        return found if passed else FillResult(FillStatus.LATER, reason)

    def outcome(self, gap: FillGap, now: int) -> "FillResult":
        """What became of a gap of the stretch; `now` in microseconds since 1970."""
        held = self._held[gap]
        if held == gap.size:
            return FillResult(FillStatus.CAME, f"{CAME}{held:,} trades came")
        if self.key and self.low >= gap.first:
            return FillResult(
                FillStatus.LATER, f"the exchange shows old trades with a key only: {self.key}"
            )
        return self._lacking(gap, held, now)

    def _lacking(self, gap: FillGap, held: int, now: int) -> "FillResult":
        """Why answers do not hold all of a gap."""
        fate = FillStatus.NEVER if now - gap.after > self.sure_us else FillStatus.LATER
        if self._unread:
            rows = f"{self._unread:,} rows of the exchange's answers"
            return FillResult(fate, f"{rows} cannot be read, see dead_letters")
        if self._others[gap]:
            other = f"other trades under {self._others[gap]:,} of {gap.size:,} numbers"
            return FillResult(fate, f"the exchange shows {other}, of another time")
        if self.low > gap.last:
            return FillResult(fate, f"too old: the exchange shows trades from {self.low} on")
        if self.high > gap.last:
            absent = f"{gap.size - held:,} of {gap.size:,} numbers"
            shown = f"its answer goes from {self.low} to {self.high} without them"
            return FillResult(fate, f"the exchange does not have {absent}: {shown}")
        if not self.high and now - gap.after > _LATE_US:
            return FillResult(fate, f"the exchange shows no trades from {gap.first - 1} on")
        reached = f"trades up to {self.high} only" if self.high else "none of them"
        return FillResult(FillStatus.LATER, f"so far the exchange shows {reached}")


CAME: Final = "asked for: "
"""How the reason of a gap begins of which all trades came."""

ONCE: Final = "asked for once more before it is given up: "
"""How the reason of a gap begins that one answer lacks: one answer proves nothing."""


@dataclass(frozen=True)
class FillResult:
    """What became of a gap that was asked for, in words too."""

    fate: FillStatus
    reason: str

    @property
    def doubted(self) -> "FillResult":
        """The same from a single answer: what is not to be had is looked for once more."""
        return (
            FillResult(FillStatus.LATER, ONCE + self.reason)
            if self.fate is FillStatus.NEVER
            else self
        )

    def after(self, before: str) -> "FillResult":
        """The same after another answer, of which `before` is written: two prove that a gap is not
        to be had if they say so for the same reason.
        """
        proven = before.startswith(ONCE) and kind(before.removeprefix(ONCE)) == kind(self.reason)
        return self if proven else self.doubted


_NUMBER: Final = re.compile(r"(?<!status )(?<![\d,.])\d[\d,]*(?![\d.])")


def kind(reason: str) -> str:
    """Return a reason with its numbers left out: what gaps have in common that are missing for the
    same reason. A status is no number.
    """
    return _NUMBER.sub("…", reason)


def too_long(gap: FillGap) -> str | None:
    """Why a gap is not asked for, unless somebody names it."""
    if gap.size <= TOO_LONG:
        return None
    return f"too long: {gap.size:,} numbers, more than the {TOO_LONG:,} that are asked for"
