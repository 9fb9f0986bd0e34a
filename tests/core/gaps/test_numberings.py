"""Numberings and contradictions against a plain model that looks at one trade after another."""

import pickle
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.core.gaps.gap_state import OUTAGES, UNPROVEN
from candlewax.core.gaps.numberings import (
    FAR_BELOW,
    Numberings,
    Start,
    is_far_below,
    series,
    split_series,
)
from candlewax.core.gaps.sequence_ranges import SequenceRanges
from candlewax.core.schema import empty
from candlewax.core.snapshots import load_deduplicator, save_deduplicator
from candlewax.core.trades.deduplicator import Deduplicator

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
    """The rule of docs/candles.md, over plain sets: one trade after another.

    `order`: the numberings in the order of time. `starts`: between each two of them the first
    number and time of the later one, the latest time and the last number of the earlier one.
    """

    seen: list[dict[int, int]] = field(default_factory=lambda: [{}])
    order: list[int] = field(default_factory=lambda: [0])
    starts: list[tuple[int, int, int, int]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def admit(self, number: int, second: int) -> tuple[bool, int]:
        """Return whether a trade is new, and its numbering."""
        numbering = self._place(number, second)
        fresh = number not in self.seen[numbering]
        if fresh:
            self.seen[numbering][number] = second
            self.times.append(second)
        return fresh, numbering

    def _place(self, number: int, second: int) -> int:
        newest, oldest = self.seen[self.order[-1]], self.seen[self.order[0]]
        if newest and second > max(self.times):
            last = max(newest)
            follows = number not in newest and number - 1 in newest
            if (is_far(number, last) and not follows) or self._resumes(number, last):
                self.starts.append((number, second, max(self.times), last))
                self.order.append(len(self.seen))
                self.seen.append({})
                return self.order[-1]
        earlier = oldest and second < min(self.times) and is_far(min(oldest), number)
        below = max((other for other in oldest if other < number), default=None)
        above = min((other for other in oldest if other > number), default=None)
        near = (below is not None and not is_far(below, number)) or (
            above is not None and not is_far(number, above)
        )
        if earlier and not near:
            self.starts.insert(0, (min(oldest), min(self.times), second, number))
            self.order.insert(0, len(self.seen))
            self.seen.append({})
            return self.order[0]
        place = sum(began <= second for _, began, _, _ in self.starts)
        if place < len(self.starts):
            first, _, before, last = self.starts[place]
            if second > before and abs(number - first) < abs(number - last):
                place += 1
        return self.order[place]

    def _resumes(self, number: int, last: int) -> bool:
        newest = self.seen[self.order[-1]]
        if len(self.order) == 1 or number - last < 1000 or len(newest) > 10:
            return False
        before = self.seen[self.order[-2]]
        return bool(before) and 0 < number - max(before) < 1000


def is_far(number: int, last: int) -> bool:
    return last - number >= 1000 or (last - number >= 20 and 2 * number <= last)


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
        elif move == 3 and rows:
            first, earliest = draw(NUMBERS), min(at for _, _, at in rows)
            count = range(draw(st.integers(1, 4)))
            rows += [("A/B", min(first + n, 2**64 - 1), earliest - 9 + n) for n in count]
            continue
        else:
            number = min(number + draw(st.sampled_from([1, 1, 1, 2, 30])), 2**64 - 1)
        second += draw(st.sampled_from([0, 1, 1, 5]))
        rows.append(("A/B", number, second))
    return rows


ANEW = [("A/B", 5000, 0), ("A/B", 1, 1), ("A/B", 2, 2), ("A/B", 5001, 3)]
WILD = [("A/B", 30, 0), ("A/B", 2**63, 1), ("A/B", 31, 2), ("A/B", 32, 3)]
BACKFILLED = [("A/B", 1, 50), ("A/B", 2, 51), ("A/B", 7000, 10), ("A/B", 7001, 11), ("A/B", 3, 60)]
BETWEEN = [("A/B", 5000, 5), ("A/B", 1, 9), ("A/B", 5001, 7), ("A/B", 2, 8)]

CUTS = st.lists(st.integers(0, 40), max_size=5)


def admitted(rows: list[Row], cuts: list[int], *, saved: bool = False) -> list[tuple[bool, int]]:
    """What the ledger makes of the rows in batches, its state saved and taken up between them."""
    ledger, found = Deduplicator(), []
    bounds = sorted({0, *(cut for cut in cuts if cut < len(rows)), len(rows)})
    for begin, end in pairwise(bounds):
        admission = ledger.mark_new(table(rows[begin:end]))
        count = end - begin
        numbering = admission.numbering
        numbers = [0] * count if numbering is None else numbering.to_list()
        found += list(zip(admission.is_new.to_list(), numbers, strict=True))
        ledger.take_changes()
        if saved:
            ledger = load_deduplicator(pickle.loads(pickle.dumps(save_deduplicator(ledger))))  # noqa: S301 - our own
    return found


@given(rows=arrivals(), cuts=CUTS, saved=st.booleans())
@example(rows=ANEW, cuts=[2], saved=False)
@example(rows=WILD, cuts=[], saved=True)
@example(rows=BETWEEN, cuts=[1, 2, 3], saved=True)
@example(rows=BACKFILLED, cuts=[2, 4], saved=True)
def test_ledger_does_as_the_model_however_batches_are_cut(
    rows: list[Row], cuts: list[int], *, saved: bool
) -> None:
    """Which trades are new, and to which numbering each belongs."""
    model = Model()
    expected = [model.admit(number, second) for _, number, second in rows]
    found = admitted(rows, cuts, saved=saved)
    assert found == expected


@pytest.mark.parametrize("decided", [False, True])
def test_end_of_a_numbering_is_known_as_long_as_it_moves(*, decided: bool) -> None:
    """To who is told the numberings, too: where it ended nothing is proven, and where it did."""
    ledger = Deduplicator()
    rows = [("A/B", 5000, 0), ("A/B", 1, 100), ("A/B", 5001, 30)]
    found = []
    for row, numbering in zip(rows, [0, 1, 0], strict=True):
        batch = table([row]).with_columns(numbering=pl.lit(numbering, pl.UInt32))
        ledger.mark_new(batch, has_numbering=decided)
        known = ledger.gap_state(ledger.take_changes(), empty(OUTAGES))
        ends = known.first_seen.filter(pl.col("sequence") == UNPROVEN)["time"]
        found.append((seconds(ends), seconds(known.changed_ranges["before"])))
    assert found == [([], [0]), ([0, 100], [0, 100]), ([30, 100], [0, 30])]


def seconds(times: pl.Series) -> list[int]:
    return sorted((time - int(START.timestamp()) * 1_000_000) // 1_000_000 for time in set(times))


@pytest.mark.parametrize(
    ("number", "last", "far"),
    [
        (9_000, 9_000 + FAR_BELOW, True), (9_001, 9_000 + FAR_BELOW, False),
        (1, 21, True), (1, 20, False),
        (21, 41, False), (20, 40, True), (5, 5, False), (6, 5, False),
    ],
)  # fmt: skip
def test_number_is_far_below_from_both_sides_of_the_limit(
    number: int, last: int, *, far: bool
) -> None:
    """A thousand below the last one; or in the lower half, and twenty below."""
    assert is_far_below(number, last) is far


@pytest.mark.parametrize(
    ("number", "between", "resumes"),
    [
        (5_001, 10, True), (5_000 + FAR_BELOW - 1, 10, True), (5_000 + FAR_BELOW, 10, False),
        (5_000, 10, False), (5_001, 11, False),
    ],
    ids=["the next", "the last near", "too far", "no further", "too many between"],
)  # fmt: skip
def test_numbering_before_resumes_behind_a_slip_of_a_few_numbers(
    number: int, between: int, *, resumes: bool
) -> None:
    """With a number less than 1,000 behind its last one, after ten others at most."""
    numberings = Numberings(
        {"A/B": [Start(1, 200, 100, 5_000, 1)]}, {"A/B": 200 + between}, {"A/B": 0}
    )
    known = {
        "A/B": SequenceRanges([4_000], [5_000], [0], [100]),
        series("A/B", 1): SequenceRanges([1], [between], [200], [200 + between]),
    }
    numbering, opening = numberings.assign("A/B", number, 300 + between, known)
    assert (numbering, opening is not None) == ((2, True) if resumes else (1, False))


def test_series_have_names_that_tell_symbol_and_numbering() -> None:
    """The first one is the symbol itself, as saved states and tables know it."""
    for name, numbering in (("BTC/USDT:USDT-250627", 0), ("龙虾/USDT", 3), ("A/B", 12)):
        assert split_series(series(name, numbering)) == (name, numbering)
    assert series("A/B", 0) == "A/B"


def test_ranges_know_what_they_hold_and_what_follows() -> None:
    """Against a plain set."""
    ranges = SequenceRanges([3, 10], [5, 10], [0, 0], [0, 0])
    held = {3, 4, 5, 10}
    assert [n for n in range(13) if ranges.has(n)] == sorted(held)
    assert {n for n in range(13) if ranges.follows(n)} == {n + 1 for n in held} - held
    assert ranges.count() == len(held)
    for n in range(13):
        below, above = [k for k in held if k < n], [k for k in held if k > n]
        assert ranges.neighbours(n) == (max(below, default=None), min(above, default=None))
