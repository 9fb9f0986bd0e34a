"""Which answers of REST a span of time is made of, against plain lists of trades."""

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
"""By number, by time, by windows of numbers."""


@dataclass
class Exchange:
    """An exchange that has some trades; `spoil` may change each page."""

    name: str
    trades: Trades
    spoil: Callable[[Page], Page] = lambda page: page
    asked: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name

    def ask(self, target: str) -> Answer:
        self.asked.append(target)
        found = self._page(dict(part.split("=") for part in target.partition("?")[2].split("&")))
        last_ns = found[-1][1] * 1000 if found else 0
        page = Page([n for n, _ in found], [at for _, at in found], last_ns)
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


def come(exchange: Exchange, span: tuple[int, int], page: int, found: SpanCounts) -> Iterator[Page]:
    """The pages that are stored."""
    rest = replace(EXCHANGES[exchange.name].rest, page_rows=page)
    client: Any = exchange
    for answer in pages(client, rest, "X", span, lambda _: None, found):
        yield answer.page


@given(
    st.sets(st.integers(1, 400), min_size=1, max_size=120),
    st.integers(0, 130),
    st.integers(1, 130),
    st.integers(3, 40),
    st.sampled_from(VENUES),
    st.sampled_from([1, 3]),
)
def test_only_and_all_trades_of_a_span_are_stored(
    numbers: set[int], begin: int, length: int, page: int, name: str, step: int
) -> None:
    """Wherever pages begin and end, whatever numbers an exchange has left out, and also where
    trades share a moment, but for one that ends a page of times.
    """
    step = 1 if name == "kraken" else step
    trades = [(number, 1_000 * (n // step)) for n, number in enumerate(sorted(numbers))]
    span = 1_000 * begin, 1_000 * (begin + length)
    found = SpanCounts()
    stored = list(come(Exchange(name, trades), span, page, found))
    wanted = {number for number, at in trades if span[0] <= at < span[1]}
    assert {number for one in stored for number in one.numbers} == wanted
    assert found == SpanCounts(within=len(wanted))


@pytest.mark.parametrize(("end", "behind"), [(20_000, 0), (20_001, 1), (21_000, 1)])
def test_page_that_reaches_the_end_of_a_span_is_the_last_one(end: int, behind: int) -> None:
    """Also if its last trade is of the very moment of the end, which is exclusive. A page holds
    the trades from 1 to 20; the next one is asked for only if the span may go on there.
    """
    exchange = Exchange("binance", [(n, 1_000 * n) for n in range(1, 61)])
    stored = [n for one in come(exchange, (1_000, end), 20, SpanCounts()) for n in one.numbers]
    assert stored == [n for n in range(1, 61) if 1_000 * n < end]
    froms = [
        int(target.partition("fromId=")[2].partition("&")[0] or 0) for target in exchange.asked
    ]
    assert len([number for number in froms if number > 20]) == behind


@pytest.mark.parametrize("name", ["binance", "coinbase"])
@pytest.mark.parametrize("begin", [39_999, 40_000, 40_001])
def test_all_trades_of_the_moment_at_which_a_span_begins_are_found(name: str, begin: int) -> None:
    """However many pages they are: the number to begin with is searched for by times."""
    trades = [(n, 1_000 * min(n, max(40, n - 60))) for n in range(1, 161)]
    span = begin, 70_000
    stored = {n for one in come(Exchange(name, trades), span, 5, SpanCounts()) for n in one.numbers}
    assert stored == {n for n, at in trades if begin <= at < 70_000}
    assert len(stored) == (90 if begin <= 40_000 else 29)


@given(st.integers(0, 2**32), st.sampled_from(["binance", "coinbase"]))
def test_trades_out_of_order_at_an_edge_are_asked_for_run_by_run(seed: int, name: str) -> None:
    """An exchange may number trades in another order than that of their times."""
    chance = random.Random(seed)
    trades = [(n, 1_000 * max(0, n + chance.randint(-3, 3))) for n in range(1, 200)]
    span = 40_000, 120_000
    found = SpanCounts()
    stored = {n for one in come(Exchange(name, trades), span, 30, found) for n in one.numbers}
    # A page that ends behind the span ends the search: what comes later still is not looked for.
    assert stored == {n for n, at in trades if span[0] <= at < span[1]} & stored
    assert set(range(44, 115)) <= stored


@pytest.mark.parametrize("name", VENUES)
def test_an_exact_answer_that_lacks_some_is_asked_for_again(name: str) -> None:
    """In their place it holds others: these are not stored, and what was lacking comes next."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]
    spoilt: list[Page] = []

    def spoil(page: Page) -> Page:
        # The first narrow question after a page of 20.
        if len(page.numbers) == 20 or spoilt or len(page.numbers) < 5:
            return page
        spoilt.append(page)
        return replace(page, numbers=page.numbers[3:], times_us=page.times_us[3:])

    found = SpanCounts()
    stored = list(come(Exchange(name, trades, spoil), (5_000, 33_000), 20, found))
    assert spoilt
    assert {number for one in stored for number in one.numbers} == set(range(5, 33))


@pytest.mark.parametrize("name", VENUES)
def test_what_only_an_exact_answer_holds_is_counted(name: str) -> None:
    """A page at an edge may have lacked some of the span: what is stored is what is said."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]
    spoilt: list[Page] = []

    def spoil(page: Page) -> Page:
        # Of the page that ends behind the span.
        edge = {26, 27, 34} <= set(page.numbers)
        if not edge or spoilt:
            return page
        spoilt.append(page)
        kept = [n for n in page.numbers if n not in {27, 28}]
        return replace(page, numbers=kept, times_us=[1_000 * n for n in kept])

    found = SpanCounts()
    stored = list(come(Exchange(name, trades, spoil), (5_000, 33_000), 20, found))
    assert spoilt
    numbers = {number for one in stored for number in one.numbers}
    assert numbers <= set(range(5, 33))
    assert found == SpanCounts(len(numbers))


@pytest.mark.parametrize("name", VENUES)
def test_an_exchange_that_always_adds_others_is_told(name: str) -> None:
    """None of them is stored, and the run fails: nothing of it is silent."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]

    def spoil(page: Page) -> Page:
        numbers = list(page.numbers)
        more = [*numbers, *range(numbers[-1] + 1, 60)] if numbers and len(numbers) > 1 else numbers
        return replace(page, numbers=more, times_us=[1_000 * n for n in more])

    with pytest.raises(BackfillError, match="do not come without others") as failure:
        list(come(Exchange(name, trades, spoil), (5_000, 33_000), 20, SpanCounts()))
    assert failure.match("they were not stored")


@pytest.mark.parametrize("name", VENUES)
def test_rows_that_cannot_be_read_are_no_empty_answer(name: str) -> None:
    """An answer of nothing else is stored, for its dead letters, and said to be unreadable."""
    trades = [(n, 1_000 * n) for n in range(1, 9)]

    def spoil(page: Page) -> Page:
        return Page([], [], 0, len(page.numbers))

    with pytest.raises(BackfillError, match="none can be read as a trade"):
        list(come(Exchange(name, trades, spoil), (0, 10_000), 20, SpanCounts()))


def test_an_unreadable_page_is_stored_before_it_is_told() -> None:
    """By time it is met without a search; its rows are counted."""
    trades = [(n, 1_000 * n) for n in range(1, 9)]
    exchange = Exchange("kraken", trades, lambda page: Page([], [], 0, len(page.numbers)))
    found = SpanCounts()
    stored = come(exchange, (0, 10_000), 20, found)
    assert next(stored) == Page([], [], 0, 8)
    with pytest.raises(BackfillError, match="kraken: an answer of 8 rows"):
        next(stored)
    assert found == SpanCounts(0, 8)


@pytest.mark.parametrize("name", VENUES)
def test_rows_that_cannot_be_read_beside_others_are_counted(name: str) -> None:
    """What can be read of such an answer is stored, also at an edge."""
    trades = [(n, 1_000 * n) for n in range(1, 60)]

    def spoil(page: Page) -> Page:
        good = [n for n in page.numbers if n != 7]
        return Page(good, [1_000 * n for n in good], page.until_ns, len(page.numbers) - len(good))

    found = SpanCounts()
    stored = list(come(Exchange(name, trades, spoil), (5_000, 12_000), 20, found))
    assert {number for one in stored for number in one.numbers} == {5, 6, 8, 9, 10, 11}
    assert found == SpanCounts(6, 1)


@pytest.mark.parametrize("count", [999, 1000, 1001])
def test_windows_at_the_bound_of_a_page(count: int) -> None:
    """So many numbers, all of the span and all of the exchange: no page is left out, none is
    asked for twice.
    """
    trades = [(n, 1_000 * n) for n in range(1, count + 1)]
    exchange = Exchange("coinbase", trades)
    found = SpanCounts()
    stored = list(come(exchange, (0, 2**40), 1000, found))
    came = [number for one in stored for number in one.numbers]
    assert sorted(set(came)) == list(range(1, count + 1))
    assert found == SpanCounts(count)
    assert len([one for one in exchange.asked if "limit=1000" in one]) <= 3
