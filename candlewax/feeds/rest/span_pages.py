"""The trades of a span of time by REST: only these, as the exchange's own answers.

Answers are stored verbatim, so an answer that holds other trades as well is not stored: what it
holds of the span is asked for once more, exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from candlewax.exchanges.protocol.rest import Cursor, Page, RestRules
from candlewax.feeds.rest.client import Answer, Client, RefusalError

TRIES: Final = 8
"""How often a request is made that the exchange refuses."""

EXACT_TRIES: Final = 4
"""How often trades are asked for exactly, where an answer lacks some of them or holds others."""

Span = tuple[int, int]
"""Times in microseconds since 1970, the end exclusive."""


class BackfillError(RuntimeError):
    """Not all that was asked for has come; the text says why."""


@dataclass
class Found:
    """What was found of a span: trades `within` it, and rows or lines that are `unread`, as they
    cannot be.
    """

    within: int = 0
    unread: int = 0


def pages(
    client: Client,
    rest: RestRules,
    native: str,
    span: Span,
    count: Callable[[int], None],
    found: Found,
) -> Iterator[Answer]:
    """Give answers that hold all trades of a span and no other trade. `count` is told how far it
    has come, in microseconds; `found` counts the trades.

    Raises BackfillError where the exchange refuses, answers what cannot be read, or gives no
    answer without trades outside the span.
    """
    search = _Search(client, rest, native, span, found)
    begin, end = span
    # An exchange may tell its times in whole milliseconds.
    whole = begin // 1000 * 1000
    number, newest = (0, 0) if rest.by_time else _numbers(client, rest, native, whole)
    place, high, reached = Cursor(number, max(begin * 1000 - 1, 0)), -1, begin
    while True:
        answer = search.ask(place, rest.page)
        page = answer.page
        new = [at for n, at in zip(page.numbers, page.times, strict=True) if n > high]
        found.within += sum(map(search.holds, new))
        found.unread += page.unread
        if new:
            yield from search.within(place, answer)
            high, latest = page.numbers[-1], min(max(page.times[-1], reached), end)
            count(latest - reached)
            reached = latest
            if page.times[-1] >= end:
                return
        elif page.unread:
            # It holds no trade of another time, and its dead letters say what came.
            yield answer
            raise _unreadable(client, page)
        elif not rest.windowed or place.number > newest:
            return
        following = place.number + rest.page if rest.windowed else high + 1
        place = Cursor(following, page.until_ns)


@dataclass(frozen=True)
class _Search:
    """What is looked for: trades of a market in a span. `found` counts them."""

    client: Client
    rest: RestRules
    native: str
    span: Span
    found: Found

    def holds(self, time: int) -> bool:
        """Return whether a time lies in the span."""
        return self.span[0] <= time < self.span[1]

    def ask(self, place: Cursor, limit: int) -> Answer:
        """Return the answer for so many trades from a place on. Raises BackfillError."""
        return _asked(self.client, self.rest.target(self.native, place, limit))

    def within(self, place: Cursor, answer: Answer) -> Iterator[Answer]:
        """Give the answer from a place if all its trades lie in the span; else answers to narrower
        questions.
        """
        page = answer.page
        inside = list(map(self.holds, page.times))
        if all(inside):
            yield answer
            return
        if self.rest.by_time:
            wanted = [n for n, good in zip(page.numbers, inside, strict=True) if good]
            runs = [wanted] if wanted else []
            place = Cursor(place.number, max(place.time_ns, self.span[0] * 1000 - 1))
        else:
            numbered = groupby(zip(page.numbers, inside, strict=True), key=lambda one: one[1])
            runs = [[n for n, _ in group] for good, group in numbered if good]
        for run in runs:
            yield from self._exactly(place, run)

    def _exactly(self, place: Cursor, run: Sequence[int]) -> Iterator[Answer]:
        """Give answers that hold a run of numbers, neighbours of one page, and nothing outside the
        span.
        """
        wanted, limit, known = run, len(run), set(run)
        for _ in range(EXACT_TRIES):
            answer = self.ask(self._start(place, wanted), limit)
            page = answer.page
            if not page.numbers or not all(map(self.holds, page.times)):
                limit = len(wanted)
                continue
            # The first answer may have lacked some.
            self.found.within += len(set(page.numbers) - known)
            known.update(page.numbers)
            yield answer
            left = sorted(set(wanted).difference(page.numbers))
            if not left:
                return
            # By time all are asked for again: rows that cannot be read took the places of some.
            wanted = wanted if self.rest.by_time else left
            limit = limit + len(left) if self.rest.by_time else len(left)
        raise BackfillError(
            f"{self.client}: {len(wanted):,} trades at the edge of the span, {wanted[0]} to "
            f"{wanted[-1]}, do not come without others beside them; they were not stored"
        )

    def _start(self, place: Cursor, wanted: Sequence[int]) -> Cursor:
        """Return from where so many trades are exactly the wanted ones."""
        if self.rest.by_time:
            return place
        # A window ends at the last one, however many numbers are left out before it.
        return Cursor(wanted[-1] + 1 - len(wanted) if self.rest.windowed else wanted[0])


def _numbers(client: Client, rest: RestRules, native: str, begin: int) -> tuple[int, int]:
    """From which number on to ask for the trades from a time on, less than a page before
    them; and the newest number.
    """
    found = _read(client, rest.newest(native, 1))
    if not found.numbers:
        return 0, 0
    newest = found.numbers[-1]
    low, high = 0, newest + 1
    middle = 0  # an exchange may say at once which is the oldest it shows
    while high - low > rest.page:
        page = _read(client, rest.target(native, Cursor(middle), 1))
        if not page.numbers:
            low = middle
        elif page.times[-1] < begin:
            low = max(middle, page.numbers[-1])
        elif page.numbers[-1] > middle == 0:
            return page.numbers[-1], newest
        else:
            high = max(low + 1, min(middle, page.numbers[-1]))
        middle = (low + high) // 2
    return low, newest


def _read(client: Client, target: str) -> Page:
    """Return what an answer holds. Raises BackfillError if it holds only what cannot be read."""
    page = _asked(client, target).page
    if page.unread and not page.numbers:
        raise _unreadable(client, page)
    return page


def _unreadable(client: Client, page: Page) -> BackfillError:
    rows = "1 row" if page.unread == 1 else f"{page.unread:,} rows"
    return BackfillError(f"{client}: an answer of {rows}, of which none can be read as a trade")


def _asked(client: Client, target: str) -> Answer:
    for left in reversed(range(TRIES)):
        try:
            return client.ask(target)
        except RefusalError as refusal:
            if refusal.is_permanent or not left:
                raise BackfillError(f"{client}: {refusal.reason}") from refusal
    raise AssertionError
