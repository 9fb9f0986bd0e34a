"""Numberings against a plain model that reads one trade at a time."""

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
    """Trades with only the columns that deduplication reads."""
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
    """The rule of docs/candles.md over plain sets, one trade at a time. `order` lists the
    numberings by time. `starts` holds, between two neighbours, the first number and time of the
    later one, and the latest time and last number of the earlier one.
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
    """Trades in order of arrival: runs, jumps, late trades, repeats and restarted numberings."""
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


RESTARTED = [("A/B", 5000, 0), ("A/B", 1, 1), ("A/B", 2, 2), ("A/B", 5001, 3)]
OUTLIER = [("A/B", 30, 0), ("A/B", 2**63, 1), ("A/B", 31, 2), ("A/B", 32, 3)]
BACKFILLED = [("A/B", 1, 50), ("A/B", 2, 51), ("A/B", 7000, 10), ("A/B", 7001, 11), ("A/B", 3, 60)]
BETWEEN = [("A/B", 5000, 5), ("A/B", 1, 9), ("A/B", 5001, 7), ("A/B", 2, 8)]

CUTS = st.lists(st.integers(0, 40), max_size=5)


def mark_in_batches(
    rows: list[Row], cuts: list[int], *, saved: bool = False
) -> list[tuple[bool, int]]:
    """Deduplicate rows in batches, optionally restoring saved state after each one."""
    ledger, marks = Deduplicator(), []
    bounds = sorted({0, *(cut for cut in cuts if cut < len(rows)), len(rows)})
    for begin, end in pairwise(bounds):
        admission = ledger.mark_new(table(rows[begin:end]))
        count = end - begin
        numbering = admission.numbering
        numbers = [0] * count if numbering is None else numbering.to_list()
        marks += list(zip(admission.is_new.to_list(), numbers, strict=True))
        ledger.take_changes()
        if saved:
            ledger = load_deduplicator(pickle.loads(pickle.dumps(save_deduplicator(ledger))))  # noqa: S301 - our own
    return marks


@given(rows=arrivals(), cuts=CUTS, saved=st.booleans())
@example(rows=RESTARTED, cuts=[2], saved=False)
@example(rows=OUTLIER, cuts=[], saved=True)
@example(rows=BETWEEN, cuts=[1, 2, 3], saved=True)
@example(rows=BACKFILLED, cuts=[2, 4], saved=True)
def test_deduplicator_matches_model_for_any_cut_into_batches(
    rows: list[Row], cuts: list[int], *, saved: bool
) -> None:
    """Cuts and restored state change neither which trades are new nor their numbering."""
    model = Model()
    expected = [model.admit(number, second) for _, number, second in rows]
    marks = mark_in_batches(rows, cuts, saved=saved)
    assert marks == expected


@pytest.mark.parametrize("has_numbering", [False, True])
def test_moved_end_of_a_numbering_changes_its_old_and_new_range(*, has_numbering: bool) -> None:
    """The batch may already carry its numberings."""
    ledger = Deduplicator()
    rows = [("A/B", 5000, 0), ("A/B", 1, 100), ("A/B", 5001, 30)]
    ends_and_changes = []
    for row, numbering in zip(rows, [0, 1, 0], strict=True):
        batch = table([row]).with_columns(numbering=pl.lit(numbering, pl.UInt32))
        ledger.mark_new(batch, has_numbering=has_numbering)
        state = ledger.gap_state(ledger.take_changes(), empty(OUTAGES))
        ends = state.first_seen.filter(pl.col("sequence") == UNPROVEN)["time"]
        ends_and_changes.append((seconds(ends), seconds(state.changed_ranges["before"])))
    assert ends_and_changes == [([], [0]), ([0, 100], [0, 100]), ([30, 100], [0, 30])]


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
def test_number_is_far_below_from_each_limit_on(number: int, last: int, *, far: bool) -> None:
    """Either 1,000 below the last number, or 20 below it and in its lower half."""
    assert is_far_below(number, last) is far


@pytest.mark.parametrize(
    ("number", "strays", "resumes"),
    [
        (5_001, 10, True), (5_000 + FAR_BELOW - 1, 10, True), (5_000 + FAR_BELOW, 10, False),
        (5_000, 10, False), (5_001, 11, False),
    ],
    ids=["the next", "the last near", "too far", "no further", "too many between"],
)  # fmt: skip
def test_earlier_numbering_resumes_after_a_few_stray_numbers(
    number: int, strays: int, *, resumes: bool
) -> None:
    """The number is less than 1,000 above its last one, after at most ten stray numbers."""
    numberings = Numberings(
        {"A/B": [Start(1, 200, 100, 5_000, 1)]}, {"A/B": 200 + strays}, {"A/B": 0}
    )
    known = {
        "A/B": SequenceRanges([4_000], [5_000], [0], [100]),
        series("A/B", 1): SequenceRanges([1], [strays], [200], [200 + strays]),
    }
    numbering, opening = numberings.assign("A/B", number, 300 + strays, known)
    assert (numbering, opening is not None) == ((2, True) if resumes else (1, False))


def test_series_name_splits_into_symbol_and_numbering() -> None:
    """The first numbering is named by the symbol alone, as in saved states and tables."""
    for name, numbering in (("BTC/USDT:USDT-250627", 0), ("龙虾/USDT", 3), ("A/B", 12)):
        assert split_series(series(name, numbering)) == (name, numbering)
    assert series("A/B", 0) == "A/B"


def test_sequence_ranges_match_plain_set() -> None:
    """Membership, following numbers, count and neighbours."""
    ranges = SequenceRanges([3, 10], [5, 10], [0, 0], [0, 0])
    held = {3, 4, 5, 10}
    assert [n for n in range(13) if ranges.has(n)] == sorted(held)
    assert {n for n in range(13) if ranges.follows(n)} == {n + 1 for n in held} - held
    assert ranges.count() == len(held)
    for n in range(13):
        below, above = [k for k in held if k < n], [k for k in held if k > n]
        assert ranges.neighbours(n) == (max(below, default=None), min(above, default=None))
