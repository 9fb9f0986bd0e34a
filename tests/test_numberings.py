"""Numberings and contradictions against a plain model that looks at one trade after another."""

import pickle
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.contradictions import ContradictionFinder
from candlewax.identity import CONTENT, RecentTrades, content, not_repeated
from candlewax.ledger import Ledger
from candlewax.numberings import FAR, is_far_below, series, split_series
from candlewax.ranges import Ranges
from candlewax.schema import TRADES, empty
from candlewax.snapshots import load_ledger, save_ledger

START = datetime(2026, 1, 1, tzinfo=UTC)

Row = tuple[str, int, int]
"""symbol, number, seconds."""


def table(rows: list[Row]) -> pl.DataFrame:
    """Trades of which only these three facts matter."""
    return pl.DataFrame(
        [(s, n, str(n), START + timedelta(seconds=second)) for s, n, second in rows],
        schema={
            "symbol": pl.Categorical, "sequence": pl.UInt64, "trade_id": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )  # fmt: skip


@dataclass
class Model:
    """The rule of docs/candles.md, over plain sets: one trade after another."""

    seen: list[dict[int, int]] = field(default_factory=lambda: [{}])
    starts: list[tuple[int, int, int]] = field(default_factory=list)
    latest: int = -(2**63)

    def admit(self, number: int, second: int) -> tuple[bool, int]:
        """Return whether a trade is new, and its numbering."""
        numbering = self._place(number, second)
        fresh = number not in self.seen[numbering]
        if fresh:
            self.seen[numbering][number] = second
            self.latest = max(self.latest, second)
        return fresh, numbering

    def _place(self, number: int, second: int) -> int:
        newest = self.seen[-1]
        if newest and second > self.latest:
            last = max(newest)
            far = last - number >= 1000 or (last - number >= 20 and 2 * number <= last)
            follows = number not in newest and number - 1 in newest
            resumes = (
                len(self.seen) > 1
                and number - last >= 1000
                and len(newest) <= 10
                and 0 < number - max(self.seen[-2]) < 1000
            )
            if (number < last and far and not follows) or resumes:
                self.starts.append((number, second, self.latest))
                self.seen.append({})
                return len(self.seen) - 1
        place = sum(began <= second for _, began, _ in self.starts)
        if place < len(self.starts):
            first, _, before = self.starts[place]
            last = max(self.seen[place])
            if second > before and abs(number - first) < abs(number - last):
                return place + 1
        return place


NUMBERS = st.one_of(
    st.integers(1, 60), st.integers(990, 1040), st.integers(5_000, 5_030),
    st.sampled_from([2**63, 2**64 - 1]),
)  # fmt: skip


@st.composite
def arrivals(draw: st.DrawFn) -> list[Row]:
    """Trades in the order they come: runs of numbers, jumps, late ones, repeats, new beginnings."""
    rows: list[Row] = []
    second, number = 0, draw(NUMBERS)
    for _ in range(draw(st.integers(1, 40))):
        move = draw(st.integers(0, 9))
        if move == 0:
            number = draw(NUMBERS)
        elif move == 1 and rows:
            rows.append(draw(st.sampled_from(rows)))
            continue
        elif move == 2 and rows:
            late = draw(st.sampled_from(rows))
            rows.append((late[0], draw(NUMBERS), late[2] - draw(st.integers(0, 2))))
            continue
        else:
            number = min(number + draw(st.sampled_from([1, 1, 1, 2, 30])), 2**64 - 1)
        second += draw(st.sampled_from([0, 1, 1, 5]))
        rows.append(("A/B", number, second))
    return rows


ANEW = [("A/B", 5000, 0), ("A/B", 1, 1), ("A/B", 2, 2), ("A/B", 5001, 3)]
WILD = [("A/B", 30, 0), ("A/B", 2**63, 1), ("A/B", 31, 2), ("A/B", 32, 3)]
BETWEEN = [("A/B", 5000, 5), ("A/B", 1, 9), ("A/B", 5001, 7), ("A/B", 2, 8)]

CUTS = st.lists(st.integers(0, 40), max_size=5)


def admitted(rows: list[Row], cuts: list[int], *, saved: bool = False) -> list[tuple[bool, int]]:
    """What the ledger makes of the rows in batches, its state saved and taken up between them."""
    ledger, found = Ledger(), []
    bounds = sorted({0, *(cut for cut in cuts if cut < len(rows)), len(rows)})
    for begin, end in pairwise(bounds):
        admission = ledger.admit(table(rows[begin:end]))
        count = end - begin
        numbering = admission.numbering
        numbers = [0] * count if numbering is None else numbering.to_list()
        found += list(zip(admission.fresh.to_list(), numbers, strict=True))
        ledger.changes()
        if saved:
            ledger = load_ledger(pickle.loads(pickle.dumps(save_ledger(ledger))))  # noqa: S301 - our own
    return found


@given(rows=arrivals(), cuts=CUTS, saved=st.booleans())
@example(rows=ANEW, cuts=[2], saved=False)
@example(rows=WILD, cuts=[], saved=True)
@example(rows=BETWEEN, cuts=[1, 2, 3], saved=True)
def test_ledger_does_as_the_model_however_batches_are_cut(
    rows: list[Row], cuts: list[int], *, saved: bool
) -> None:
    """Which trades are new, and to which numbering each new one belongs."""
    model = Model()
    expected = [model.admit(number, second) for _, number, second in rows]
    found = admitted(rows, cuts, saved=saved)
    assert [fresh for fresh, _ in found] == [fresh for fresh, _ in expected]
    assert [n for fresh, n in found if fresh] == [n for fresh, n in expected if fresh]


@pytest.mark.parametrize(
    ("number", "last", "far"),
    [
        (9_000, 9_000 + FAR, True), (9_001, 9_000 + FAR, False), (1, 21, True), (1, 20, False),
        (21, 41, False), (20, 40, True), (5, 5, False), (6, 5, False),
    ],
)  # fmt: skip
def test_number_is_far_below_from_both_sides_of_the_limit(
    number: int, last: int, *, far: bool
) -> None:
    """A thousand below the last one; or in the lower half, and twenty below."""
    assert is_far_below(number, last) is far


def test_series_have_names_that_tell_symbol_and_numbering() -> None:
    """The first one is the symbol itself, as saved states and tables know it."""
    for name, numbering in (("BTC/USDT:USDT-250627", 0), ("龙虾/USDT", 3), ("A/B", 12)):
        assert split_series(series(name, numbering)) == (name, numbering)
    assert series("A/B", 0) == "A/B"


def test_ranges_know_what_they_hold_and_what_follows() -> None:
    """Against a plain set."""
    ranges = Ranges([3, 10], [5, 10], [0, 0], [0, 0])
    held = {3, 4, 5, 10}
    assert [n for n in range(13) if ranges.has(n)] == sorted(held)
    assert {n for n in range(13) if ranges.follows(n)} == {n + 1 for n in held} - held
    assert ranges.count() == len(held)


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
        self.rows = trades(rows).select(pl.col("symbol").cast(pl.String), *list(CONTENT)[1:])
        self.asked = 0

    def near(self, _: str, came: pl.DataFrame) -> pl.DataFrame:
        self.asked += 1
        return self.rows.join(came.select("sequence").unique(), on="sequence", how="semi")

    def by_number(self, _: str, came: pl.DataFrame) -> pl.DataFrame:
        return self.near(_, came)


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
        found = finder.find(trades(batch), pl.Series(fresh, dtype=pl.Boolean))
        assert found["place"].to_list() == expected


def test_repeat_of_a_trade_just_let_through_is_not_looked_up() -> None:
    """Two connections bring each trade twice: that costs no query."""
    stored = Stored([])
    finder = ContradictionFinder("x", stored)
    rows = [(n, 0, 1, 1, 1) for n in range(1, 50)]
    assert finder.find(trades(rows), pl.Series([True] * len(rows))).is_empty()
    assert finder.find(trades(rows), pl.Series([False] * len(rows))).is_empty()
    assert stored.asked == 0


def test_recent_trades_are_bounded() -> None:
    """The oldest are forgotten, in whole pieces."""
    recent = RecentTrades(most=1_000)
    for number in range(1, 5_000):
        recent.add(trades([(number, 0, 1, 1, 1)]))
    wanted = content(trades([(4_999, 0, 1, 1, 1), (4_100, 0, 1, 1, 1), (1, 0, 1, 1, 1)]))
    assert not_repeated(wanted, recent.find(wanted))["sequence"].to_list() == [1]
    assert recent.find(empty({"place": pl.UInt32, **CONTENT})).is_empty()
