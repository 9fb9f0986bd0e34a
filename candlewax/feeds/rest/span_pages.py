"""REST pages with the trades of a time span, and no other trades.

Responses are stored verbatim. If a response also holds trades outside the span, it is not stored;
its trades inside the span are requested again, exactly. Where numbers do not show gaps, trades
outside the span do no harm, and such a response is stored: its times may be cut to seconds, too.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from candlewax.exchanges.protocol.rest import Cursor, Page, RestRules
from candlewax.feeds.rest.client import Answer, Client, RefusalError, TooLargeError

TRIES: Final = 8
"""Number of attempts for a request that the exchange refuses."""

EXACT_TRIES: Final = 4
"""Number of exact requests for trades, if responses lack some of them or hold others."""

Span = tuple[int, int]
"""Times in microseconds since 1970, the end exclusive."""


class BackfillError(RuntimeError):
    """Error for a backfill that is incomplete; the text says why."""


@dataclass
class SpanCounts:
    """Counts of a span: trades `within` it, and `unreadable` rows or lines."""

    within: int = 0
    unreadable: int = 0


def pages(
    client: Client,
    rest: RestRules,
    native_symbol: str,
    span: Span,
    count: Callable[[int], None],
    counts: SpanCounts,
) -> Iterator[Answer]:
    """Yield responses that hold all trades of a span and no other trade.

    Calls `count` with the progress in microseconds of the span; `counts` counts the trades. Raises
    BackfillError if the exchange refuses, if it no longer shows trades of the begin, if a response
    is unreadable, or if each response also holds trades outside the span.
    """
    if rest.reach_s is not None and span[0] < time.time_ns() // 1000 - rest.reach_s * 1_000_000:
        hours = f"{rest.reach_s / 3600:g}"
        raise BackfillError(f"{client}: the exchange shows trades of the last {hours} hours only")
    search = _Search(client, rest, native_symbol, span, counts)
    begin, end = span
    # Times of an exchange may be whole milliseconds.
    begin_ms = begin // 1000 * 1000
    first, newest = (
        (0, 0) if rest.pages_by_time else _find_first_number(client, rest, native_symbol, begin_ms)
    )
    cursor, last_number, reached = Cursor(first, max(begin * 1000 - 1, 0)), -1, begin
    while True:
        answer = search.ask(replace(cursor, now_ns=time.time_ns()), rest.page_rows)
        page = answer.page
        new_times = [
            time_us
            for number, time_us in zip(page.numbers, page.times_us, strict=True)
            if number > last_number
        ]
        counts.within += sum(map(search.holds, new_times))
        counts.unreadable += page.unreadable_rows
        if new_times:
            yield from search.narrow(cursor, answer)
            last_number, latest = page.numbers[-1], min(max(page.times_us[-1], reached), end)
            count(latest - reached)
            reached = latest
            if page.times_us[-1] >= end:
                return
        elif page.unreadable_rows:
            # It holds no trade outside the span, and its rows become dead letters.
            yield answer
            raise _unreadable(client, page)
        elif not rest.page_counts_numbers or cursor.number > newest:
            return
        next_number = (
            cursor.number + rest.page_rows if rest.page_counts_numbers else last_number + 1
        )
        cursor = Cursor(next_number, page.until_ns)


@dataclass(frozen=True)
class _Search:
    """Search for the trades of a market in a span; `counts` counts them."""

    client: Client
    rest: RestRules
    native_symbol: str
    span: Span
    counts: SpanCounts

    def holds(self, time: int) -> bool:
        """Return True if a time lies in the span."""
        return self.span[0] <= time < self.span[1]

    def ask(self, cursor: Cursor, limit: int) -> Answer:
        """Request up to `limit` trades from a cursor on. Raises BackfillError."""
        return _ask(self.client, self.rest.trades_path(self.native_symbol, cursor, limit))

    def narrow(self, cursor: Cursor, answer: Answer) -> Iterator[Answer]:
        """Yield the response if it lies in the span, else responses to narrower requests."""
        page = answer.page
        inside = list(map(self.holds, page.times_us))
        if all(inside) or not self.rest.shows_gaps:
            yield answer
            return
        if self.rest.pages_by_time:
            missing = [n for n, is_inside in zip(page.numbers, inside, strict=True) if is_inside]
            runs = [missing] if missing else []
            cursor = Cursor(cursor.number, max(cursor.time_ns, self.span[0] * 1000 - 1))
        else:
            numbered = groupby(zip(page.numbers, inside, strict=True), key=lambda pair: pair[1])
            runs = [[n for n, _ in group] for is_inside, group in numbered if is_inside]
        for numbers in runs:
            yield from self._request_exactly(cursor, numbers)

    def _request_exactly(self, cursor: Cursor, numbers: Sequence[int]) -> Iterator[Answer]:
        """Yield responses with these numbers, neighbours of one page, and none outside the span."""
        missing, limit, seen = numbers, len(numbers), set(numbers)
        for _ in range(EXACT_TRIES):
            answer = self.ask(self._start(cursor, missing), limit)
            page = answer.page
            if not page.numbers or not all(map(self.holds, page.times_us)):
                limit = len(missing)
                continue
            # The page may have lacked some.
            self.counts.within += len(set(page.numbers) - seen)
            seen.update(page.numbers)
            yield answer
            remaining = sorted(set(missing).difference(page.numbers))
            if not remaining:
                return
            # By time all are requested again, as unreadable rows took the places of some.
            missing = missing if self.rest.pages_by_time else remaining
            limit = limit + len(remaining) if self.rest.pages_by_time else len(remaining)
        raise BackfillError(
            f"{self.client}: {len(missing):,} trades at the edge of the span, {missing[0]} to "
            f"{missing[-1]}, do not come without others beside them; they were not stored"
        )

    def _start(self, cursor: Cursor, numbers: Sequence[int]) -> Cursor:
        """Return the cursor from which `len(numbers)` trades are exactly these numbers."""
        if self.rest.pages_by_time:
            return cursor
        # A window ends at the last number, even if the exchange left out numbers before it.
        return Cursor(
            numbers[-1] + 1 - len(numbers) if self.rest.page_counts_numbers else numbers[0]
        )


def _find_first_number(
    client: Client, rest: RestRules, native_symbol: str, begin: int
) -> tuple[int, int]:
    """Return a number at most a page before the first trade since a time, and the newest one."""
    page = _read_page(client, rest.latest_path(native_symbol, 1))
    if not page.numbers:
        return 0, 0
    newest = page.numbers[-1]
    low, high = 0, newest + 1
    middle = 0  # some exchanges answer with the oldest trade they show
    while high - low > rest.page_rows:
        page = _read_page(client, rest.trades_path(native_symbol, Cursor(middle), 1))
        if not page.numbers:
            low = middle
        elif page.times_us[-1] < begin:
            low = max(middle, page.numbers[-1])
        elif page.numbers[-1] > middle == 0:
            return page.numbers[-1], newest
        else:
            high = max(low + 1, min(middle, page.numbers[-1]))
        middle = (low + high) // 2
    return low, newest


def _read_page(client: Client, target: str) -> Page:
    """Return the page of a response. Raises BackfillError if all its rows are unreadable."""
    page = _ask(client, target).page
    if page.unreadable_rows and not page.numbers:
        raise _unreadable(client, page)
    return page


def _unreadable(client: Client, page: Page) -> BackfillError:
    rows = "1 row" if page.unreadable_rows == 1 else f"{page.unreadable_rows:,} rows"
    return BackfillError(f"{client}: an answer of {rows}, of which none can be read as a trade")


def _ask(client: Client, target: str) -> Answer:
    for retries_left in reversed(range(TRIES)):
        try:
            return client.ask(target)
        except RefusalError as refusal:
            if refusal.is_permanent or isinstance(refusal, TooLargeError) or not retries_left:
                raise BackfillError(f"{client}: {refusal.reason}") from refusal
    raise AssertionError
