"""Gaps to request over REST, and conclusions from the responses.

Pure functions. Near gaps are requested together, as a group. A number that responses span without
holding it does not exist, and is never requested again. A refusal proves nothing.
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

MAX_GAP_NUMBERS: Final = 1_000_000
"""Most numbers of a gap. A longer one is requested only by name."""

_MARGIN_NS: Final = 1_000_000
"""Requests start this long before the trade in front of a gap: REST times may have more or fewer
digits.
"""

SETTLE_US: Final = 60_000_000
"""Time after a gap from which a response counts as complete: REST may show trades later than a
websocket.
"""

_OLD_GAP_US: Final = 3_600_000_000
"""Age of a gap from which an empty response counts: the exchange will not show its trades later."""


@dataclass(frozen=True, order=True)
class FillGap:
    """Gap to fill: `first` to `last` in a numbering of a symbol.

    Its trades happened between `before` and `after`, microseconds since 1970. `attempts`: how often
    they were requested.
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
        """Count of its numbers."""
        return self.last - self.first + 1

    def covers(self, time_us: int) -> bool:
        """Return whether a trade of a time (microseconds since 1970) may be missing in the gap."""
        return self.before - SLACK_US <= time_us <= self.after + SLACK_US


@dataclass(frozen=True)
class GapGroup:
    """Sorted gaps of one numbering of a symbol that are requested together."""

    gaps: tuple[FillGap, ...]

    @property
    def symbol(self) -> str:
        """Symbol of the gaps."""
        return self.gaps[0].symbol

    @property
    def first(self) -> int:
        """First missing number."""
        return self.gaps[0].first

    @property
    def last(self) -> int:
        """Last missing number."""
        return self.gaps[-1].last


def group_gaps(gaps: Iterable[FillGap], page_rows: int) -> list[GapGroup]:
    """Group gaps that fit on one page with their neighbours. Return short groups first."""
    members: list[list[FillGap]] = []
    for gap in sorted(gaps, key=lambda gap: (_series(gap), gap)):
        is_same_series = members and _series(members[-1][0]) == _series(gap)
        if is_same_series and gap.last - members[-1][0].first + 3 <= page_rows:
            members[-1].append(gap)
        else:
            members.append([gap])
    grouped = [GapGroup(tuple(group)) for group in members]
    return sorted(grouped, key=lambda group: group.last - group.first)


def _series(gap: FillGap) -> tuple[str, int]:
    return gap.symbol, gap.numbering


class FillStatus(Enum):
    """Status of a gap after a request."""

    FILLED = "filled"
    """Responses hold all trades."""
    UNAVAILABLE = "unavailable"
    """The exchange does not have some trades."""
    RETRY = "retry"
    """A later request may succeed."""


@dataclass
class FillCursor:
    """Cursor over the REST pages that cover a group of gaps.

    It starts one number before the first gap and ends at the first number behind the last gap.
    `key`: name of the missing setting, if the exchange shows old trades with an API key only.
    """

    group: GapGroup
    rest: RestRules
    key: str | None = None
    settle_us: int = SETTLE_US
    lowest: int = 0
    highest: int = 0
    cursor: Cursor = field(init=False)

    def __post_init__(self) -> None:
        before = min(gap.before for gap in self.group.gaps)
        self.cursor = Cursor(self.group.first - 1, before * 1000 - _MARGIN_NS)
        self._received: Counter[FillGap] = Counter()
        self._unreadable_rows = 0
        self._foreign: Counter[FillGap] = Counter()

    def next_path(self, native_symbol: str) -> str:
        """Return path and query of the next request, for no more trades than needed."""
        if self.key:
            return self.rest.latest_path(native_symbol, self.rest.latest_page_rows)
        return self.rest.trades_path(native_symbol, self.cursor, self._limit)

    @property
    def _limit(self) -> int:
        needed = self.group.last - self.cursor.number + 2
        # If the exchange pages by time, the margin may hold any number of trades.
        return self.rest.page_rows if self.rest.pages_by_time else min(self.rest.page_rows, needed)

    def add_page(self, page: Page) -> bool:
        """Add a page. Return whether more pages are needed."""
        advanced = self._count_numbers(page)
        if self.rest.page_counts_numbers:
            self.cursor = Cursor(self.cursor.number + self._limit)
            return self.cursor.number <= self.group.last + 1 and self.highest <= self.group.last
        self.cursor = Cursor(self.highest + 1, page.until_ns)
        return advanced and self.highest <= self.group.last and not self.key

    def _count_numbers(self, page: Page) -> bool:
        """Count the received numbers of each gap. Return whether the page advanced.

        An exchange that restarted its numbers shows other trades under the numbers of a gap. They
        are told by their time: trades of a gap happened between its neighbours.
        """
        self._unreadable_rows += page.unreadable_rows
        if not page.numbers:
            return False
        new = {
            n: time for n, time in zip(page.numbers, page.times_us, strict=True) if n > self.highest
        }
        numbers = sorted(new)
        for gap in self.group.gaps:
            begin, end = bisect_left(numbers, gap.first), bisect_right(numbers, gap.last)
            received = sum(gap.covers(new[number]) for number in numbers[begin:end])
            self._received[gap] += received
            self._foreign[gap] += end - begin - received
        self.lowest = min(self.lowest or page.numbers[0], page.numbers[0])
        self.highest = max(self.highest, page.numbers[-1])
        return bool(numbers)

    def result_after_refusal(self, gap: FillGap, reason: str, now_us: int) -> "FillResult":
        """Return the result of a gap if the exchange refused to go on."""
        result = self.result(gap, now_us)
        is_final = result.status is FillStatus.FILLED or self.highest > gap.last
        return result if is_final else FillResult(FillStatus.RETRY, reason)

    def result(self, gap: FillGap, now_us: int) -> "FillResult":
        """Return the result of a gap of the group; `now_us` in microseconds since 1970."""
        received = self._received[gap]
        if received == gap.size:
            return FillResult(FillStatus.FILLED, f"{FILLED_PREFIX}{received:,} trades came")
        if self.key and self.lowest >= gap.first:
            return FillResult(
                FillStatus.RETRY, f"the exchange shows old trades with a key only: {self.key}"
            )
        return self._explain_missing(gap, received, now_us)

    def _explain_missing(self, gap: FillGap, received: int, now_us: int) -> "FillResult":
        """Return the result of a gap of which the responses lack trades."""
        status = FillStatus.UNAVAILABLE if now_us - gap.after > self.settle_us else FillStatus.RETRY
        if self._unreadable_rows:
            rows = f"{self._unreadable_rows:,} rows of the exchange's answers"
            return FillResult(status, f"{rows} cannot be read, see dead_letters")
        if self._foreign[gap]:
            other = f"other trades under {self._foreign[gap]:,} of {gap.size:,} numbers"
            return FillResult(status, f"the exchange shows {other}, of another time")
        if self.lowest > gap.last:
            return FillResult(status, f"too old: the exchange shows trades from {self.lowest} on")
        if self.highest > gap.last:
            absent = f"{gap.size - received:,} of {gap.size:,} numbers"
            shown = f"its answer goes from {self.lowest} to {self.highest} without them"
            return FillResult(status, f"the exchange does not have {absent}: {shown}")
        if not self.highest and now_us - gap.after > _OLD_GAP_US:
            return FillResult(status, f"the exchange shows no trades from {gap.first - 1} on")
        reached = f"trades up to {self.highest} only" if self.highest else "none of them"
        return FillResult(FillStatus.RETRY, f"so far the exchange shows {reached}")


FILLED_PREFIX: Final = "asked for: "
"""First words of the reason of a filled gap."""

RETRY_PREFIX: Final = "asked for once more before it is given up: "
"""First words of the reason after one response without the trades: one response proves nothing."""


@dataclass(frozen=True)
class FillResult:
    """Result of a request for a gap, and the reason as stored in `gaps`."""

    status: FillStatus
    reason: str

    @property
    def as_unconfirmed(self) -> "FillResult":
        """Result of a single response: a gap with unavailable trades is requested once more."""
        return (
            FillResult(FillStatus.RETRY, RETRY_PREFIX + self.reason)
            if self.status is FillStatus.UNAVAILABLE
            else self
        )

    def confirm(self, previous: str) -> "FillResult":
        """Return the result of a second response, given the reason stored after the first.

        Trades count as unavailable once two responses give the same reason.
        """
        is_confirmed = previous.startswith(RETRY_PREFIX) and remove_numbers(
            previous.removeprefix(RETRY_PREFIX)
        ) == remove_numbers(self.reason)
        return self if is_confirmed else self.as_unconfirmed


_NUMBER: Final = re.compile(r"(?<!status )(?<![\d,.])\d[\d,]*(?![\d.])")


def remove_numbers(reason: str) -> str:
    """Return a reason without its numbers, so that equal reasons of different gaps compare equal.

    An HTTP status stays.
    """
    return _NUMBER.sub("…", reason)


def too_long_reason(gap: FillGap) -> str | None:
    """Return why a gap is requested only by name, or None."""
    if gap.size <= MAX_GAP_NUMBERS:
        return None
    return f"too long: {gap.size:,} numbers, more than the {MAX_GAP_NUMBERS:,} that are asked for"
