"""Numberings and contradictions against a plain model that looks at one trade after another."""

import pickle
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.ledger import Ledger
from candlewax.numberings import FAR, Numberings, is_far_below, series, split_series
from candlewax.ranges import Ranges

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
            ledger = pickle.loads(pickle.dumps(ledger.copy()))  # noqa: S301 - our own
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


def test_state_from_before_there_were_numberings_is_taken_up() -> None:
    """A recovery store written by an older version lacks the fields."""
    ledger = Ledger()
    ledger.admit(table([("A/B", 7000, 10)]))
    state = dict(ledger.__dict__)
    for name in ("numberings", "contradicted", "market_outages", "_new_spans", "_assigned"):
        del state[name]
    older = Ledger.__new__(Ledger)
    older.__setstate__(state)
    moment = int((START + timedelta(seconds=10)).timestamp()) * 1_000_000
    assert older.numberings == Numberings(latest={"A/B": moment})
    assert older.admit(table([("A/B", 1, 11)])).opened[0].numbering == 1


def test_ranges_know_what_they_hold_and_what_follows() -> None:
    """Against a plain set."""
    ranges = Ranges([3, 10], [5, 10], [0, 0], [0, 0])
    held = {3, 4, 5, 10}
    assert [n for n in range(13) if ranges.has(n)] == sorted(held)
    assert {n for n in range(13) if ranges.follows(n)} == {n + 1 for n in held} - held
    assert ranges.count() == len(held)
