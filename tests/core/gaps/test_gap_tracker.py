"""Open gaps against plain sets, however batches are cut and rows repeated."""

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
    """Arrivals with their places, in batches of these sizes, again and again."""
    left = list(enumerate(arrivals))
    for size in itertools.cycle(sizes):
        if not left:
            return
        yield left[:size]
        left = left[size:]


def frames(batch: Iterable[tuple[int, Trade]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades with the frames they came by, each of a connection and a time of its own."""
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


def put(ledger: Deduplicator, batch: list[tuple[int, Trade]]) -> list[dict[str, Any]]:
    """Admit a batch; the rows of gaps it makes."""
    trades, bronze = frames(batch)
    fresh = trades.filter(ledger.mark_new(trades).is_new)
    rows = ledger.gaps.update("x", ledger.take_changes(), ledger.ranges_by_series, fresh, bronze)
    assert dict(rows.schema) == dict(empty(GAPS).schema)
    return rows.to_dicts()


def merged(rows: Iterable[dict[str, Any]]) -> dict[Gap, tuple[int, int]]:
    """What the table makes of its rows: the fewest missing and the latest state."""
    found: dict[Gap, tuple[int, int]] = {}
    for row in rows:
        key = row["symbol"], row["first_sequence"], row["last_sequence"]
        missing, state = found.get(key, (row["missing"], row["state"]))
        found[key] = min(missing, row["missing"]), max(state, row["state"])
    return found


def holes(seen: set[Trade]) -> set[Gap]:
    found = set()
    for symbol in {symbol for symbol, _ in seen}:
        numbers = sorted(number for name, number in seen if name == symbol)
        pairs = itertools.pairwise(numbers)
        found |= {(symbol, low + 1, high - 1) for low, high in pairs if high - low > 1}
    return found


def within(gap: Gap) -> set[Trade]:
    symbol, first, last = gap
    return {(symbol, number) for number in range(first, last + 1)}


def missing(seen: set[Trade]) -> set[Trade]:
    return {trade for hole in holes(seen) for trade in within(hole)}


@dataclass
class Oracle:
    """Gaps as anyone would keep them who has all numbers in a set."""

    seen: dict[Trade, int] = field(default_factory=dict)
    gaps: dict[Gap, set[Trade]] = field(default_factory=dict)
    shown: dict[Gap, int] = field(default_factory=dict)

    def put(self, batch: list[tuple[int, Trade]]) -> None:
        for place, trade in batch:
            self.seen.setdefault(trade, place)
        for gap in self.gaps:
            self.gaps[gap] = within(gap) - self.seen.keys()
        for hole in holes(set(self.seen)):
            if not any(within(hole) <= left for left in self.gaps.values()):
                symbol, first, last = hole
                self.gaps[hole] = within(hole)
                beside = self.seen[symbol, first - 1], self.seen[symbol, last + 1]
                self.shown[hole] = max(beside)


@given(ARRIVALS, CUTS, st.randoms(use_true_random=False))
def test_gaps_are_those_of_plain_sets(
    arrivals: list[Trade], sizes: list[int], chance: random.Random
) -> None:
    """After every batch; their rows may come again and in any order."""
    ledger, oracle, rows = Deduplicator(), Oracle(), list[dict[str, Any]]()
    for batch in cut(arrivals, sizes):
        rows += put(ledger, batch)
        oracle.put(batch)
        again = rows + chance.choices(rows, k=5) if rows else []
        chance.shuffle(again)
        assert merged(again) == {
            gap: (len(left), OPEN if left else REPAIRED) for gap, left in oracle.gaps.items()
        }
        assert ledger.gaps.count == sum(bool(left) for left in oracle.gaps.values())
        assert ledger.gaps.missing == len(missing(set(oracle.seen)))
    for row in rows:
        gap = row["symbol"], row["first_sequence"], row["last_sequence"]
        place = oracle.shown[gap]
        shown = row["connection"], row["detected_at"]
        assert shown == (f"c{place}", START + timedelta(minutes=place))
        before, after = START + timedelta(seconds=gap[1] - 1), START + timedelta(seconds=gap[2] + 1)
        assert (row["before"], row["after"]) == (before, after)


def test_holes_that_open_and_close_within_a_batch_leave_no_trace() -> None:
    """In whatever order its trades come."""
    ledger = Deduplicator()
    assert put(ledger, list(enumerate([("A/B", 1), ("A/B", 9), ("A/B", 5)])))
    rest = [("A/B", n) for n in (8, 20, 6, 2, 7, 4, 3, *range(10, 20))]
    rows = put(ledger, list(enumerate(rest)))
    assert merged(rows) == {("A/B", 2, 4): (0, REPAIRED), ("A/B", 6, 8): (0, REPAIRED)}


# A gap below all that has been read again so far: of it, a rest; all of it; and one that the
# process remembers nothing below.
@example([("A/B", 4), ("A/B", 1), ("A/B", 2)], [1], [1, 2], [1], 0, 2)
@example([("A/B", 3), ("A/B", 1), ("A/B", 2)], [1], [1, 2], [1], 0, 2)
@example([("A/B", 3), ("A/B", 1), ("A/B", 2)], [1], [2], [1], 1, 1)
@given(ARRIVALS, CUTS, CUTS, CUTS, st.integers(0, 6), st.integers(0, 6))
def test_what_a_process_found_before_it_died_is_followed_to_its_end(
    arrivals: list[Trade],
    first: list[int],
    again: list[int],
    last: list[int],
    saved: int,
    lost: int,
) -> None:
    """It comes again in other batches, to one that remembers less than the table holds."""
    ledger, rows, done = Deduplicator(), list[dict[str, Any]](), 0
    batches = list(cut(arrivals, first))
    for batch in batches[:saved]:
        rows += put(ledger, batch)
        done += len(batch)
    resumed = ledger.copy()
    for batch in batches[saved : saved + lost]:
        rows += put(ledger, batch)
    assert adopt(resumed, rows, again=True) == []
    adopted = [within((symbol, *key)) for symbol, gaps in resumed.gaps.gaps.items() for key in gaps]
    known = merged(rows)
    for batch in cut(arrivals[done:], again):
        rows += put(resumed, batch)
    found = merged(rows).keys() - known.keys()
    assert not any(within(gap) <= numbers for gap in found for numbers in adopted)
    settled(rows, set(arrivals))
    assert not resumed.gaps.symbols_ahead
    # And once more, by one that remembers nothing but what is stored.
    begun = Deduplicator()
    put(begun, list(enumerate(arrivals)))
    begun = Deduplicator(begun.ranges_by_series)
    rows += adopt(begun, rows, again=False)
    for batch in cut([("A/B", n) for n in range(1, 17)], last):
        rows += put(begun, batch)
    settled(rows, set(arrivals) | {("A/B", n) for n in range(1, 17)})


def settled(rows: list[dict[str, Any]], seen: set[Trade]) -> None:
    """The table knows what is missing, and of nothing else that it is."""
    found = merged(rows)
    for gap, (left, state) in found.items():
        assert left == len(within(gap) - seen)
        assert state == (OPEN if left else REPAIRED)
    assert {trade for gap in found for trade in within(gap)} >= missing(seen)


def adopt(ledger: Deduplicator, rows: list[dict[str, Any]], *, again: bool) -> list[dict[str, Any]]:
    """Begin with the gaps that are open in their table."""
    of = {gap: left for gap, (left, _) in merged(rows).items() if left}
    stored = {
        key: {**row, "missing": of[key]}
        for row in rows
        if (key := (row["symbol"], row["first_sequence"], row["last_sequence"])) in of
    }
    table = pl.DataFrame(list(stored.values()), GAPS, orient="row")
    uncovered = ledger.gaps.restore(table, ledger.ranges_by_series, may_replay=again)
    found = ledger.gaps.open_gaps(uncovered, [Detection("", 0)] * len(uncovered))
    return ledger.gaps.refresh("x", ledger.ranges_by_series, found).to_dicts()


def test_a_hole_that_no_gap_holds_gets_one() -> None:
    """When a process begins; a gap says at once what came meanwhile."""
    ledger = Deduplicator()
    rows = put(ledger, list(enumerate([("A/B", 1), ("A/B", 9), ("A/B", 20)])))
    put(ledger, [(3, ("A/B", 5))])
    begun = Deduplicator(ledger.ranges_by_series)
    known = [row for row in rows if row["first_sequence"] == 2]
    assert merged(adopt(begun, known, again=False)) == {
        ("A/B", 2, 8): (6, OPEN),
        ("A/B", 10, 19): (10, OPEN),
    }


def test_a_gap_without_neighbours_no_longer_matters() -> None:
    """The trades beside it are kept no more; the rest of one that reaches so far does."""
    ledger, full = Deduplicator(), Deduplicator()
    rows = put(
        full, list(enumerate([("A/B", n) for n in (1, 5, 9, 20, 40)] + [("C/D", 1), ("C/D", 3)]))
    )
    put(ledger, list(enumerate([("A/B", 12), ("A/B", 20)])))
    begun = Deduplicator(ledger.ranges_by_series)
    adopt(begun, rows, again=False)
    assert set(begun.gaps.gaps["A/B"]) == {(10, 19)}
    assert "C/D" not in begun.gaps.gaps


@given(ARRIVALS, CUTS)
def test_a_copy_does_not_follow(arrivals: list[Trade], sizes: list[int]) -> None:
    """What is found later is not in a copy taken before."""
    ledger = Deduplicator()
    batches = list(cut(arrivals, sizes))
    for batch in batches[:2]:
        put(ledger, batch)
    copy = ledger.gaps.copy()
    before = copy.missing, copy.count
    for batch in batches[2:]:
        put(ledger, batch)
    assert (copy.missing, copy.count) == before
