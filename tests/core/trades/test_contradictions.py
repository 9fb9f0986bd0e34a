"""Contradictions against a plain model: known numbers that arrive with other content."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.core.schema import TRADES
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.contradictions import ContradictionFinder
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.core.trades.identity import CONTENT, select_content
from candlewax.core.trades.recent_trades import RecentTrades

START = datetime(2026, 1, 1, tzinfo=UTC)

Trade = tuple[int, int, int, int, int]
"""number, microseconds, side, price, quantity."""

TRADE = st.tuples(
    st.integers(1, 6), st.sampled_from([0, 1, 2, 999, 1_000, 1_001, 2_000]), st.integers(1, 2),
    st.integers(1, 2), st.integers(1, 2),
)  # fmt: skip


def trades(rows: list[Trade]) -> pl.DataFrame:
    """Trades of one market."""
    schema = {name: TRADES[name] for name in (*CONTENT, "source_index")}
    return pl.DataFrame(
        [
            ("A/B", number, START + timedelta(microseconds=time), side, Decimal(price),
             Decimal(quantity), 0)
            for number, time, side, price, quantity in rows
        ],
        schema=schema,
        orient="row",
    )  # fmt: skip


def is_same(first: Trade, second: Trade) -> bool:
    """Return whether two trades are the same: equal except for the unit of their times."""
    a, b = first[1], second[1]
    in_ms = a // 1000 == b // 1000 and 0 in {a % 1000, b % 1000}
    return (first[0], *first[2:]) == (second[0], *second[2:]) and (abs(a - b) <= 1 or in_ms)


class StoredTrades:
    """Stored trades that count how often they are read."""

    def __init__(self, rows: list[Trade]) -> None:
        self.rows = content(trades(rows))
        self.read_count = 0
        self.since = 0

    def read_near(self, _: str, trades: pl.DataFrame) -> pl.DataFrame:
        self.read_count += 1
        return self.rows.join(trades.select("sequence").unique(), on="sequence", how="semi")

    def read_by_number(self, _: str, trades: pl.DataFrame) -> pl.DataFrame:
        return self.read_near(_, trades)

    def retained_since_us(self) -> int:
        return self.since


def content(rows: pl.DataFrame) -> pl.DataFrame:
    """CONTENT of trades."""
    return rows.select(pl.col("symbol").cast(pl.String), *list(CONTENT)[1:])


def admission(is_new: list[bool]) -> Admission:
    """The admission of trades of a market with one numbering."""
    return Admission(pl.Series(is_new, dtype=pl.Boolean), None)


@given(st.lists(TRADE, max_size=8), st.lists(st.lists(TRADE, max_size=8), max_size=4))
def test_known_number_with_other_content_is_a_contradiction(
    stored: list[Trade], batches: list[list[Trade]]
) -> None:
    """Compared with stored trades, trades of the batch, and recent trades."""
    known: dict[int, list[Trade]] = {}
    for trade in stored:
        known.setdefault(trade[0], []).append(trade)
    finder = ContradictionFinder("x", StoredTrades(stored))
    for batch in batches:
        is_new, expected = [], []
        for place, trade in enumerate(batch):
            is_new.append(trade[0] not in known)
            if is_new[-1]:
                known[trade[0]] = [trade]
            elif not any(is_same(trade, other) for other in known[trade[0]]):
                expected.append(place)
        contradictions = finder.find(trades(batch), admission(is_new), {}).contradictions
        assert contradictions["place"].to_list() == expected


def test_repeat_of_a_recent_trade_needs_no_query() -> None:
    """Two connections deliver each trade twice."""
    stored = StoredTrades([])
    finder = ContradictionFinder("x", stored)
    rows = [(n, 0, 1, 1, 1) for n in range(1, 50)]
    assert finder.find(trades(rows), admission([True] * len(rows)), {}).contradictions.is_empty()
    assert finder.find(trades(rows), admission([False] * len(rows)), {}).contradictions.is_empty()
    assert stored.read_count == 0


def remembered_numbers(recent: RecentTrades, numbers: range) -> list[int]:
    """The numbers of these trades that are remembered."""
    content_of_trades = select_content(trades([(n, 0, 1, 1, 1) for n in numbers]))
    return sorted(recent.find(content_of_trades)["sequence"].to_list())


@pytest.mark.parametrize("lag", [0, 500, 3_000])
def test_recent_trades_are_dropped_in_chunks_once_stored(lag: int) -> None:
    """A trade that is not stored yet is kept."""
    count, query_count = 0, 0

    def are_stored(chunk: pl.DataFrame) -> bool:
        nonlocal query_count
        query_count += 1
        return bool(max(chunk["sequence"].to_list()) <= count - lag)

    recent = RecentTrades(are_stored, max_trades=1_000, chunk_rows=100)
    for count in range(1, 5_001):
        recent.add(trades([(count, 0, 1, 1, 1)]))
    numbers = remembered_numbers(recent, range(1, 5_001))
    assert numbers == list(range(numbers[0], 5_001))
    oldest = 5_000 - max(lag, 1_000)
    assert oldest - 2 * 128 <= numbers[0] <= oldest + 1
    assert query_count < 100


def test_recent_trades_are_dropped_when_later_ones_are_stored() -> None:
    """Rows that retention deleted would otherwise be awaited for ever."""
    recent = RecentTrades(lambda chunk: min(chunk["sequence"].to_list()) > 300, 1_000, 100)
    for number in range(1, 5_001):
        recent.add(trades([(number, 0, 1, 1, 1)]))
    assert remembered_numbers(recent, range(1, 5_001))[0] > 3_000


def equal_trades(count: int) -> pl.DataFrame:
    """Trades numbered from 1, otherwise equal."""
    trade = trades([(1, 0, 1, 1, 1)])
    return pl.concat([trade] * count).with_columns(
        sequence=pl.int_range(1, count + 1, dtype=pl.UInt64)
    )


def test_trade_not_stored_yet_is_compared_after_half_a_million_others() -> None:
    """The writer may be further behind than the trades that are kept otherwise."""
    finder, ledger = ContradictionFinder("x", StoredTrades([])), Deduplicator()
    for part in equal_trades(500_000).iter_slices(100_000):
        repeat = trades([(1, 0, 1, 1, 1)])
        batch = pl.concat([part, repeat])
        result = finder.find(batch, mark_new(ledger, batch), ledger.ranges_by_series)
        assert (result.contradictions.height, result.uncompared_count) == (0, 0)
    other = trades([(1, 0, 1, 2, 1)])
    result = finder.find(other, mark_new(ledger, other), ledger.ranges_by_series)
    assert result.contradictions["their_price"].to_list() == [Decimal(1)]


def mark_new(ledger: Deduplicator, batch: pl.DataFrame) -> Admission:
    return ledger.mark_new(batch.with_columns(trade_id=pl.col("sequence").cast(pl.String)))


SECOND = 1_000_000
SINCE = 50 * SECOND


@given(
    st.lists(st.integers(1, 12), unique=True, min_size=1),
    st.lists(st.tuples(st.integers(1, 12), st.integers(-3 * SECOND, 120 * SECOND))),
)
@example([1, 2, 3], [(2, 2 * SECOND), (2, -SECOND), (2, 4 * SECOND), (2, 4 * SECOND + 1)])
@example([1, 2, 3, 5], [(3, 3 * SECOND), (3, 3 * SECOND + 2_000), (5, 5 * SECOND), (5, 1)])
@example([12], [(12, 12 * SECOND)])
@example([1], [(1, SECOND - 2), (1, SECOND - 1), (1, SECOND), (1, SECOND + 1)])
@example([1, 2, 3], [(3, 3 * SECOND - 1), (3, 3 * SECOND - 2), (2, 0), (2, -1)])
def test_known_trade_without_stored_row_is_judged_by_its_time(
    numbers: list[int], repeats: list[tuple[int, int]]
) -> None:
    """Trade n has the time of second n. Rows older than the retention are gone."""
    ledger, stored = Deduplicator(), StoredTrades([])
    known = [(n, n * SECOND, 1, 1, 1) for n in numbers]
    mark_new(ledger, trades(known))
    moment = int(START.timestamp()) * SECOND
    stored.since = moment + SINCE
    finder = ContradictionFinder("x", stored)
    batch = trades([(n, time, 1, 2, 1) for n, time in repeats if n in numbers])
    result = finder.find(batch, mark_new(ledger, batch), ledger.ranges_by_series)
    expected = []
    for place, (n, time) in enumerate((n, time) for n, time in repeats if n in numbers):
        low = high = n
        while low - 1 in numbers:
            low -= 1
        while high + 1 in numbers:
            high += 1
        if n in {low, high}:
            fits = is_same((n, n * SECOND, 1, 1, 1), (n, time, 1, 1, 1))
        else:
            fits = (low - 1) * SECOND <= time <= (high + 1) * SECOND
        if not fits or time >= SINCE + 60 * SECOND:
            expected.append(place)
    assert result.contradictions["place"].to_list() == expected
    assert result.uncompared_count == batch.height - len(expected)
