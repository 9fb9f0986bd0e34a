"""Contradictions against a plain model: known numbers that come with other content."""

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


def is_same(one: Trade, other: Trade) -> bool:
    """The rule: equal but for the unit in which the time is told."""
    a, b = one[1], other[1]
    in_ms = a // 1000 == b // 1000 and 0 in {a % 1000, b % 1000}
    return (one[0], *one[2:]) == (other[0], *other[2:]) and (abs(a - b) <= 1 or in_ms)


class Stored:
    """Stored trades, and how often they were asked for."""

    def __init__(self, rows: list[Trade]) -> None:
        self.rows = plain(trades(rows))
        self.asked = 0
        self.since = 0

    def read_near(self, _: str, trades: pl.DataFrame) -> pl.DataFrame:
        self.asked += 1
        return self.rows.join(trades.select("sequence").unique(), on="sequence", how="semi")

    def read_by_number(self, _: str, trades: pl.DataFrame) -> pl.DataFrame:
        return self.read_near(_, trades)

    def retained_since_us(self) -> int:
        return self.since


def plain(rows: pl.DataFrame) -> pl.DataFrame:
    """CONTENT of trades."""
    return rows.select(pl.col("symbol").cast(pl.String), *list(CONTENT)[1:])


def admit(fresh: list[bool]) -> Admission:
    """What a ledger says of trades of a market with one numbering."""
    return Admission(pl.Series(fresh, dtype=pl.Boolean), None)


@given(st.lists(TRADE, max_size=8), st.lists(st.lists(TRADE, max_size=8), max_size=4))
def test_known_number_with_other_content_is_a_contradiction(
    stored: list[Trade], batches: list[list[Trade]]
) -> None:
    """And nothing else is: against stored trades, those of the batch, and those just before."""
    known: dict[int, list[Trade]] = {}
    for trade in stored:
        known.setdefault(trade[0], []).append(trade)
    finder = ContradictionFinder("x", Stored(stored))
    for batch in batches:
        fresh, expected = [], []
        for place, trade in enumerate(batch):
            fresh.append(trade[0] not in known)
            if fresh[-1]:
                known[trade[0]] = [trade]
            elif not any(is_same(trade, other) for other in known[trade[0]]):
                expected.append(place)
        found = finder.find(trades(batch), admit(fresh), {}).contradictions
        assert found["place"].to_list() == expected


def test_repeat_of_a_trade_just_let_through_is_not_looked_up() -> None:
    """Two connections bring each trade twice: that costs no query."""
    stored = Stored([])
    finder = ContradictionFinder("x", stored)
    rows = [(n, 0, 1, 1, 1) for n in range(1, 50)]
    assert finder.find(trades(rows), admit([True] * len(rows)), {}).contradictions.is_empty()
    assert finder.find(trades(rows), admit([False] * len(rows)), {}).contradictions.is_empty()
    assert stored.asked == 0


def remembered(recent: RecentTrades, numbers: range) -> list[int]:
    """Of some trades those that are."""
    wanted = select_content(trades([(n, 0, 1, 1, 1) for n in numbers]))
    return sorted(recent.find(wanted)["sequence"].to_list())


@pytest.mark.parametrize("lag", [0, 500, 3_000])
def test_recent_trades_are_forgotten_once_they_are_stored(lag: int) -> None:
    """The oldest of them, in whole pieces: what is not stored yet stands nowhere else."""
    count, asked = 0, 0

    def are_stored(some: pl.DataFrame) -> bool:
        nonlocal asked
        asked += 1
        return bool(max(some["sequence"].to_list()) <= count - lag)

    recent = RecentTrades(are_stored, max_trades=1_000, chunk_rows=100)
    for count in range(1, 5_001):
        recent.add(trades([(count, 0, 1, 1, 1)]))
    found = remembered(recent, range(1, 5_001))
    assert found == list(range(found[0], 5_001))
    oldest = 5_000 - max(lag, 1_000)
    assert oldest - 2 * 128 <= found[0] <= oldest + 1
    assert asked < 100


def test_deleted_rows_do_not_keep_trades_remembered() -> None:
    """Where later ones are stored, those before them are no more awaited."""
    recent = RecentTrades(lambda some: min(some["sequence"].to_list()) > 300, 1_000, 100)
    for number in range(1, 5_001):
        recent.add(trades([(number, 0, 1, 1, 1)]))
    assert remembered(recent, range(1, 5_001))[0] > 3_000


def many(count: int) -> pl.DataFrame:
    """Trades with the numbers from 1 on, all alike."""
    one = trades([(1, 0, 1, 1, 1)])
    return pl.concat([one] * count).with_columns(
        sequence=pl.int_range(1, count + 1, dtype=pl.UInt64)
    )


def test_trade_that_waits_to_be_stored_is_compared_however_many_came_since() -> None:
    """A writer may be behind by more trades than are remembered otherwise."""
    finder, ledger = ContradictionFinder("x", Stored([])), Deduplicator()
    for part in many(500_000).iter_slices(100_000):
        repeat = trades([(1, 0, 1, 1, 1)])
        batch = pl.concat([part, repeat])
        found = finder.find(batch, admitted(ledger, batch), ledger.ranges_by_series)
        assert (found.contradictions.height, found.uncompared_count) == (0, 0)
    other = trades([(1, 0, 1, 2, 1)])
    found = finder.find(other, admitted(ledger, other), ledger.ranges_by_series)
    assert found.contradictions["their_price"].to_list() == [Decimal(1)]


def admitted(ledger: Deduplicator, batch: pl.DataFrame) -> Admission:
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
def test_known_trade_of_which_nothing_is_stored_is_judged_by_its_time(
    numbers: list[int], came: list[tuple[int, int]]
) -> None:
    """Number n happened at second n; what retention dropped was stored before a certain time."""
    ledger, stored = Deduplicator(), Stored([])
    known = [(n, n * SECOND, 1, 1, 1) for n in numbers]
    admitted(ledger, trades(known))
    moment = int(START.timestamp()) * SECOND
    stored.since = moment + SINCE
    finder = ContradictionFinder("x", stored)
    batch = trades([(n, time, 1, 2, 1) for n, time in came if n in numbers])
    found = finder.find(batch, admitted(ledger, batch), ledger.ranges_by_series)
    expected = []
    for place, (n, time) in enumerate((n, time) for n, time in came if n in numbers):
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
    assert found.contradictions["place"].to_list() == expected
    assert found.uncompared_count == batch.height - len(expected)
