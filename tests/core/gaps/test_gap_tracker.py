"""The gap tracker against plain sets, for any cut into batches and any repeated rows."""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.core.gaps.gap_tracker import Detection
from candlewax.core.schema import GAPS, empty
from candlewax.core.trades.deduplicator import Deduplicator

START = datetime(2026, 1, 1, tzinfo=UTC)
OPEN, REPAIRED = 1, 4

Trade = tuple[str, int]
"""symbol, number."""

Gap = tuple[str, int, int]
"""symbol, first and last number."""

SYMBOLS = st.sampled_from(["A/B", "C/D"])
ARRIVALS = st.lists(st.tuples(SYMBOLS, st.integers(1, 16)), max_size=30)
CUTS = st.lists(st.integers(1, 6), min_size=1, max_size=8)


def cut(arrivals: Sequence[Trade], sizes: Sequence[int]) -> Iterable[list[tuple[int, Trade]]]:
    """Arrivals with their places, in batches whose sizes repeat in a cycle."""
    left = list(enumerate(arrivals))
    for size in itertools.cycle(sizes):
        if not left:
            return
        yield left[:size]
        left = left[size:]


def frames(batch: Iterable[tuple[int, Trade]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades and their frames, each with its own connection and receive time."""
    rows = [(place, *trade) for place, trade in batch]
    trades = pl.DataFrame(
        {
            "row": pl.Series(range(len(rows)), dtype=pl.UInt32),
            "symbol": pl.Series([symbol for _, symbol, _ in rows], dtype=pl.Categorical),
            "sequence": pl.Series([number for *_, number in rows], dtype=pl.UInt64),
            "numbering": pl.Series([0] * len(rows), dtype=pl.UInt32),
            "trade_id": pl.Series([str(number) for *_, number in rows], dtype=pl.String),
            "timestamp": [START + timedelta(seconds=number) for *_, number in rows],
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    bronze = pl.DataFrame(
        {
            "connection": [f"c{place}" for place, *_ in rows],
            "received_at": [START + timedelta(minutes=place) for place, *_ in rows],
        }
    )
    return trades, bronze


def apply_batch(ledger: Deduplicator, batch: list[tuple[int, Trade]]) -> list[dict[str, Any]]:
    """Deduplicate a batch; return its rows of `gaps`."""
    trades, bronze = frames(batch)
    fresh = trades.filter(ledger.mark_new(trades).is_new)
    rows = ledger.gaps.update("x", ledger.take_changes(), ledger.ranges_by_series, fresh, bronze)
    assert dict(rows.schema) == dict(empty(GAPS).schema)
    return rows.to_dicts()


def merged(rows: Iterable[dict[str, Any]]) -> dict[Gap, tuple[int, int]]:
    """The state that the table derives from its rows: fewest missing and latest state."""
    states: dict[Gap, tuple[int, int]] = {}
    for row in rows:
        key = row["symbol"], row["first_sequence"], row["last_sequence"]
        missing, state = states.get(key, (row["missing"], row["state"]))
        states[key] = min(missing, row["missing"]), max(state, row["state"])
    return states


def missing_ranges(seen: set[Trade]) -> set[Gap]:
    ranges = set()
    for symbol in {symbol for symbol, _ in seen}:
        numbers = sorted(number for name, number in seen if name == symbol)
        pairs = itertools.pairwise(numbers)
        ranges |= {(symbol, low + 1, high - 1) for low, high in pairs if high - low > 1}
    return ranges


def within(gap: Gap) -> set[Trade]:
    symbol, first, last = gap
    return {(symbol, number) for number in range(first, last + 1)}


def missing_trades(seen: set[Trade]) -> set[Trade]:
    return {trade for gap in missing_ranges(seen) for trade in within(gap)}


@dataclass
class Oracle:
    """Gaps kept with all numbers in plain sets."""

    seen: dict[Trade, int] = field(default_factory=dict)
    gaps: dict[Gap, set[Trade]] = field(default_factory=dict)
    shown: dict[Gap, int] = field(default_factory=dict)

    def put(self, batch: list[tuple[int, Trade]]) -> None:
        for place, trade in batch:
            self.seen.setdefault(trade, place)
        for gap in self.gaps:
            self.gaps[gap] = within(gap) - self.seen.keys()
        for new_gap in missing_ranges(set(self.seen)):
            if not any(within(new_gap) <= left for left in self.gaps.values()):
                symbol, first, last = new_gap
                self.gaps[new_gap] = within(new_gap)
                neighbours = self.seen[symbol, first - 1], self.seen[symbol, last + 1]
                self.shown[new_gap] = max(neighbours)


@given(ARRIVALS, CUTS, st.randoms(use_true_random=False))
def test_gaps_match_plain_sets_after_every_batch(
    arrivals: list[Trade], sizes: list[int], rng: random.Random
) -> None:
    """Rows may repeat and arrive in any order."""
    ledger, oracle, rows = Deduplicator(), Oracle(), list[dict[str, Any]]()
    for batch in cut(arrivals, sizes):
        rows += apply_batch(ledger, batch)
        oracle.put(batch)
        repeated = rows + rng.choices(rows, k=5) if rows else []
        rng.shuffle(repeated)
        assert merged(repeated) == {
            gap: (len(left), OPEN if left else REPAIRED) for gap, left in oracle.gaps.items()
        }
        assert ledger.gaps.count == sum(bool(left) for left in oracle.gaps.values())
        assert ledger.gaps.missing == len(missing_trades(set(oracle.seen)))
    for row in rows:
        gap = row["symbol"], row["first_sequence"], row["last_sequence"]
        place = oracle.shown[gap]
        detection = row["connection"], row["detected_at"]
        assert detection == (f"c{place}", START + timedelta(minutes=place))
        before, after = START + timedelta(seconds=gap[1] - 1), START + timedelta(seconds=gap[2] + 1)
        assert (row["before"], row["after"]) == (before, after)


def test_range_that_opens_and_closes_within_a_batch_makes_no_gap() -> None:
    """The order of the batch's trades does not matter."""
    ledger = Deduplicator()
    assert apply_batch(ledger, list(enumerate([("A/B", 1), ("A/B", 9), ("A/B", 5)])))
    rest = [("A/B", n) for n in (8, 20, 6, 2, 7, 4, 3, *range(10, 20))]
    rows = apply_batch(ledger, list(enumerate(rest)))
    assert merged(rows) == {("A/B", 2, 4): (0, REPAIRED), ("A/B", 6, 8): (0, REPAIRED)}


# Gaps below everything replayed so far: partly filled; wholly missing; and with no restored trade
# below it.
@example([("A/B", 4), ("A/B", 1), ("A/B", 2)], [1], [1, 2], [1], 0, 2)
@example([("A/B", 3), ("A/B", 1), ("A/B", 2)], [1], [1, 2], [1], 0, 2)
@example([("A/B", 3), ("A/B", 1), ("A/B", 2)], [1], [2], [1], 1, 1)
@given(ARRIVALS, CUTS, CUTS, CUTS, st.integers(0, 6), st.integers(0, 6))
def test_restored_gaps_are_followed_when_state_is_older_than_the_table(
    arrivals: list[Trade],
    first_cuts: list[int],
    replay_cuts: list[int],
    final_cuts: list[int],
    saved: int,
    lost: int,
) -> None:
    """After a restart, the same trades come again in other batches."""
    ledger, rows, done = Deduplicator(), list[dict[str, Any]](), 0
    batches = list(cut(arrivals, first_cuts))
    for batch in batches[:saved]:
        rows += apply_batch(ledger, batch)
        done += len(batch)
    resumed = ledger.copy()
    for batch in batches[saved : saved + lost]:
        rows += apply_batch(ledger, batch)
    assert restore_gaps(resumed, rows, may_replay=True) == []
    adopted = [within((symbol, *key)) for symbol, gaps in resumed.gaps.gaps.items() for key in gaps]
    known_gaps = merged(rows)
    for batch in cut(arrivals[done:], replay_cuts):
        rows += apply_batch(resumed, batch)
    new_gaps = merged(rows).keys() - known_gaps.keys()
    assert not any(within(gap) <= numbers for gap in new_gaps for numbers in adopted)
    assert_gaps_match(rows, set(arrivals))
    assert not resumed.gaps.symbols_ahead
    # Then a restart from the tables alone.
    restarted = Deduplicator()
    apply_batch(restarted, list(enumerate(arrivals)))
    restarted = Deduplicator(restarted.ranges_by_series)
    rows += restore_gaps(restarted, rows, may_replay=False)
    for batch in cut([("A/B", n) for n in range(1, 17)], final_cuts):
        rows += apply_batch(restarted, batch)
    assert_gaps_match(rows, set(arrivals) | {("A/B", n) for n in range(1, 17)})


def assert_gaps_match(rows: list[dict[str, Any]], seen: set[Trade]) -> None:
    """Assert that the stored gaps cover every missing trade and no seen one."""
    gaps = merged(rows)
    for gap, (left, state) in gaps.items():
        assert left == len(within(gap) - seen)
        assert state == (OPEN if left else REPAIRED)
    assert {trade for gap in gaps for trade in within(gap)} >= missing_trades(seen)


def restore_gaps(
    ledger: Deduplicator, rows: list[dict[str, Any]], *, may_replay: bool
) -> list[dict[str, Any]]:
    """Restore the gaps that are open in their table; return the rows that this adds."""
    missing_by_gap = {gap: left for gap, (left, _) in merged(rows).items() if left}
    stored = {
        key: {**row, "missing": missing_by_gap[key]}
        for row in rows
        if (key := (row["symbol"], row["first_sequence"], row["last_sequence"])) in missing_by_gap
    }
    table = pl.DataFrame(list(stored.values()), GAPS, orient="row")
    uncovered = ledger.gaps.restore(table, ledger.ranges_by_series, may_replay=may_replay)
    opened = ledger.gaps.open_gaps(uncovered, [Detection("", 0)] * len(uncovered))
    return ledger.gaps.refresh("x", ledger.ranges_by_series, opened).to_dicts()


def test_restore_opens_gap_for_missing_range_outside_all_gaps() -> None:
    """A restored gap counts trades that arrived after its row was written."""
    ledger = Deduplicator()
    rows = apply_batch(ledger, list(enumerate([("A/B", 1), ("A/B", 9), ("A/B", 20)])))
    apply_batch(ledger, [(3, ("A/B", 5))])
    restarted = Deduplicator(ledger.ranges_by_series)
    known = [row for row in rows if row["first_sequence"] == 2]
    assert merged(restore_gaps(restarted, known, may_replay=False)) == {
        ("A/B", 2, 8): (6, OPEN),
        ("A/B", 10, 19): (10, OPEN),
    }


def test_restore_drops_gap_whose_neighbours_are_unknown() -> None:
    """A gap whose end is known keeps the part between known trades."""
    ledger, full = Deduplicator(), Deduplicator()
    rows = apply_batch(
        full, list(enumerate([("A/B", n) for n in (1, 5, 9, 20, 40)] + [("C/D", 1), ("C/D", 3)]))
    )
    apply_batch(ledger, list(enumerate([("A/B", 12), ("A/B", 20)])))
    restarted = Deduplicator(ledger.ranges_by_series)
    restore_gaps(restarted, rows, may_replay=False)
    assert set(restarted.gaps.gaps["A/B"]) == {(10, 19)}
    assert "C/D" not in restarted.gaps.gaps


@given(ARRIVALS, CUTS)
def test_copy_of_gaps_is_unchanged_by_later_batches(
    arrivals: list[Trade], sizes: list[int]
) -> None:
    ledger = Deduplicator()
    batches = list(cut(arrivals, sizes))
    for batch in batches[:2]:
        apply_batch(ledger, batch)
    copy = ledger.gaps.copy()
    before = copy.missing, copy.count
    for batch in batches[2:]:
        apply_batch(ledger, batch)
    assert (copy.missing, copy.count) == before
