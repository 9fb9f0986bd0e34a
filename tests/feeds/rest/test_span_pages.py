"""REST pages of a time range, against plain lists of trades."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import Page
from candlewax.feeds.rest.client import Answer
from candlewax.feeds.rest.span_pages import BackfillError, SpanCounts, pages

Trades = Sequence[tuple[int, int]]
"""Number and time (microseconds) of each, oldest first."""

VENUES = ("binance", "kraken", "coinbase")
"""Requests by number, by time, and by windows of numbers."""


@dataclass
class Exchange:
    """An exchange with some trades; `spoil` may change each page."""

    name: str
    trades: Trades
    spoil: Callable[[Page], Page] = lambda page: page
    asked: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name

    def ask(self, target: str) -> Answer:
        self.asked.append(target)
        rows = self._page(
            dict(parameter.split("=") for parameter in target.partition("?")[2].split("&"))
        )
        last_ns = rows[-1][1] * 1000 if rows else 0
        page = Page([n for n, _ in rows], [at for _, at in rows], last_ns)
        return Answer("", 0, self.spoil(page))

    def _page(self, query: dict[str, str]) -> Trades:
        if self.name == "kraken":
            since = query.get("since")
            if since is None:
                return self.trades[-int(query["count"]) :]
            later = [trade for trade in self.trades if trade[1] * 1000 > int(since)]
            return later[: int(query["count"])]
        limit = int(query["limit"])
        if "fromId" in query:
            later = [trade for trade in self.trades if trade[0] >= int(query["fromId"])]
            return later[:limit]
        before = int(query.get("after", 2**63))
        return [trade for trade in self.trades if trade[0] < before][-limit:]


def stored_pages(
    exchange: Exchange, span: tuple[int, int], page: int, counts: SpanCounts
) -> Iterator[Page]:
    """The pages that are stored."""
    rest = replace(EXCHANGES[exchange.name].rest, page_rows=page)
    client: Any = exchange
    for response in pages(client, rest, "X", span, lambda _: None, counts):
        yield response.page


@given(
    st.sets(st.integers(1, 400), min_size=1, max_size=120),
    st.integers(0, 130),
    st.integers(1, 130),
    st.integers(3, 40),
    st.sampled_from(VENUES),
    st.sampled_from([1, 3]),
)
def test_exactly_the_trades_of_a_time_range_are_stored(
    numbers: set[int], begin: int, length: int, page: int, name: str, step: int
) -> None:
    """Wherever pages start and end and numbers are missing. Several trades may share a time, but
    not across pages requested by time.
    """
    step = 1 if name == "kraken" else step
    trades = [(number, 1_000 * (n // step)) for n, number in enumerate(sorted(numbers))]
    span = 1_000 * begin, 1_000 * (begin + length)
    counts = SpanCounts()
    stored = list(stored_pages(Exchange(name, trades), span, page, counts))
    expected = {number for number, at in trades if span[0] <= at < span[1]}
    assert {number for each in stored for number in each.numbers} == expected
    assert counts == SpanCounts(within=len(expected))


@pytest.mark.parametrize(("end", "further"), [(20_000, 0), (20_001, 1), (21_000, 1)])
def test_no_page_is_requested_after_one_that_reaches_the_end(end: int, further: int) -> None:
    """The end is exclusive. A page holds trades 1 to 20; a further one is requested only if the
    range may go on there.
    """
    exchange = Exchange("binance", [(n, 1_000 * n) for n in range(1, 61)])
    stored = [
        n for each in stored_pages(exchange, (1_000, end), 20, SpanCounts()) for n in each.numbers
    ]
    assert stored == [n for n in range(1, 61) if 1_000 * n < end]
    froms = [
        int(target.partition("fromId=")[2].partition("&")[0] or 0) for target in exchange.asked
    ]
    assert len([number for number in froms if number > 20]) == further


@pytest.mark.parametrize("name", ["binance", "coinbase"])
@pytest.mark.parametrize("begin", [39_999, 40_000, 40_001])
def test_all_trades_at_the_start_time_are_stored_across_pages(name: str, begin: int) -> None:
    """The first number is searched by time, and may be many pages back."""
    trades = [(n, 1_000 * min(n, max(40, n - 60))) for n in range(1, 161)]
    span = begin, 70_000
    stored = {
        n
        for each in stored_pages(Exchange(name, trades), span, 5, SpanCounts())
        for n in each.numbers
    }
    assert stored == {n for n, at in trades if begin <= at < 70_000}
    assert len(stored) == (90 if begin <= 40_000 else 29)


@given(st.integers(0, 2**32), st.sampled_from(["binance", "coinbase"]))
def test_trades_out_of_time_order_at_an_edge_are_stored_only_within_the_range(
    seed: int, name: str
) -> None:
    """An exchange may number trades in another order than that of their times."""
    rng = random.Random(seed)
    trades = [(n, 1_000 * max(0, n + rng.randint(-3, 3))) for n in range(1, 200)]
    span = 40_000, 120_000
    counts = SpanCounts()
    stored = {
        n for each in stored_pages(Exchange(name, trades), span, 30, counts) for n in each.numbers
    }
    # A page that ends after the range ends the search, so trades on later pages may be missed.
    assert stored == {n for n, at in trades if span[0] <= at < span[1]} & stored
    assert set(range(44, 115)) <= stored


@pytest.mark.parametrize("name", VENUES)
def test_exact_request_is_repeated_for_trades_that_its_response_lacks(name: str) -> None:
    """Other trades in their place are not stored."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]
    spoilt: list[Page] = []

    def spoil(page: Page) -> Page:
        # The first exact request after a page of 20.
        if len(page.numbers) == 20 or spoilt or len(page.numbers) < 5:
            return page
        spoilt.append(page)
        return replace(page, numbers=page.numbers[3:], times_us=page.times_us[3:])

    counts = SpanCounts()
    stored = list(stored_pages(Exchange(name, trades, spoil), (5_000, 33_000), 20, counts))
    assert spoilt
    assert {number for each in stored for number in each.numbers} == set(range(5, 33))


@pytest.mark.parametrize("name", VENUES)
def test_counts_match_stored_trades_when_an_edge_page_lacks_some(name: str) -> None:
    """An exact request may bring them later."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]
    spoilt: list[Page] = []

    def spoil(page: Page) -> Page:
        # The page that ends after the range.
        edge = {26, 27, 34} <= set(page.numbers)
        if not edge or spoilt:
            return page
        spoilt.append(page)
        kept = [n for n in page.numbers if n not in {27, 28}]
        return replace(page, numbers=kept, times_us=[1_000 * n for n in kept])

    counts = SpanCounts()
    stored = list(stored_pages(Exchange(name, trades, spoil), (5_000, 33_000), 20, counts))
    assert spoilt
    numbers = {number for each in stored for number in each.numbers}
    assert numbers <= set(range(5, 33))
    assert counts == SpanCounts(len(numbers))


@pytest.mark.parametrize("name", VENUES)
def test_backfill_fails_when_exact_requests_always_bring_other_trades(name: str) -> None:
    """None of them is stored."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]

    def spoil(page: Page) -> Page:
        numbers = list(page.numbers)
        with_others = (
            [*numbers, *range(numbers[-1] + 1, 60)] if numbers and len(numbers) > 1 else numbers
        )
        return replace(page, numbers=with_others, times_us=[1_000 * n for n in with_others])

    with pytest.raises(BackfillError, match="do not come without others") as failure:
        list(stored_pages(Exchange(name, trades, spoil), (5_000, 33_000), 20, SpanCounts()))
    assert failure.match("they were not stored")


@pytest.mark.parametrize("name", VENUES)
def test_backfill_fails_when_no_row_of_a_response_is_readable(name: str) -> None:
    """Such a response must not pass as a range without trades."""
    trades = [(n, 1_000 * n) for n in range(1, 9)]

    def spoil(page: Page) -> Page:
        return Page([], [], 0, len(page.numbers))

    with pytest.raises(BackfillError, match="none can be read as a trade"):
        list(stored_pages(Exchange(name, trades, spoil), (0, 10_000), 20, SpanCounts()))


def test_unreadable_page_is_stored_before_the_error() -> None:
    """With requests by time, there is no search before it. Its rows are counted."""
    trades = [(n, 1_000 * n) for n in range(1, 9)]
    exchange = Exchange("kraken", trades, lambda page: Page([], [], 0, len(page.numbers)))
    counts = SpanCounts()
    stored = stored_pages(exchange, (0, 10_000), 20, counts)
    assert next(stored) == Page([], [], 0, 8)
    with pytest.raises(BackfillError, match="kraken: an answer of 8 rows"):
        next(stored)
    assert counts == SpanCounts(0, 8)


@pytest.mark.parametrize("name", VENUES)
def test_unreadable_rows_beside_readable_ones_are_counted(name: str) -> None:
    """The readable rows are stored, at an edge too."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]

    def spoil(page: Page) -> Page:
        readable = [n for n in page.numbers if n != 7]
        return Page(
            readable,
            [1_000 * n for n in readable],
            page.until_ns,
            len(page.numbers) - len(readable),
        )

    counts = SpanCounts()
    stored = list(stored_pages(Exchange(name, trades, spoil), (5_000, 12_000), 20, counts))
    assert {number for each in stored for number in each.numbers} == {5, 6, 8, 9, 10, 11}
    assert counts == SpanCounts(6, 1)


@pytest.mark.parametrize("count", [999, 1000, 1001])
def test_windows_at_the_page_limit_cover_each_number_without_repeats(count: int) -> None:
    """The range covers all numbers of the exchange."""
    trades = [(n, 1_000 * n) for n in range(1, count + 1)]
    exchange = Exchange("coinbase", trades)
    counts = SpanCounts()
    stored = list(stored_pages(exchange, (0, 2**40), 1000, counts))
    received = [number for each in stored for number in each.numbers]
    assert sorted(set(received)) == list(range(1, count + 1))
    assert counts == SpanCounts(count)
    assert len([each for each in exchange.asked if "limit=1000" in each]) <= 3
