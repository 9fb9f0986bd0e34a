"""The deduplicator against a plain set."""

import itertools
import pickle
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.gap_state import MISSING_RANGES, OUTAGES
from candlewax.core.schema import empty
from candlewax.core.snapshots import load_deduplicator, save_deduplicator
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.core.trades.unnumbered import ID_RETENTION

START = datetime(2026, 1, 1, tzinfo=UTC)

Row = tuple[str, int, str, int]
"""symbol, sequence, trade_id, seconds."""


def table(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        [(s, n, name, START + timedelta(seconds=second)) for s, n, name, second in rows],
        schema={
            "symbol": pl.Categorical,
            "sequence": pl.UInt64,
            "trade_id": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


SYMBOLS = st.sampled_from(["A/B", "C/D"])
NUMBERS = st.one_of(
    st.integers(1, 12), st.integers(2**64 - 5, 2**64 - 1), st.integers(2**63 - 2, 2**63 + 2)
)
NUMBERED = st.tuples(SYMBOLS, NUMBERS, st.just("n"), st.just(0))
UNNUMBERED = st.tuples(SYMBOLS, st.just(0), st.sampled_from("abcd"), st.integers(0, 3))
BATCHES = st.lists(st.lists(NUMBERED | UNNUMBERED, max_size=12), max_size=6)


def is_same(one: Row, other: Row) -> bool:
    """Return whether two rows are of one trade: an id names it within a second of its time."""
    return one[:3] == other[:3] and abs(one[3] - other[3]) <= 1


def expected(rows: list[Row], seen: set[Row]) -> list[bool]:
    is_new = []
    for row in rows:
        is_new.append(not any(is_same(row, other) for other in seen))
        if is_new[-1]:
            seen.add(row)
    return is_new


@given(BATCHES)
def test_trade_is_new_once(batches: list[list[Row]]) -> None:
    """Within a batch and across batches, whatever the order of numbers."""
    ledger, seen = Deduplicator(), set[Row]()
    for rows in batches:
        assert ledger.mark_new(table(rows)).is_new.to_list() == expected(rows, seen)


@given(BATCHES)
def test_copy_is_unchanged_by_later_batches(batches: list[list[Row]]) -> None:
    ledger, seen = Deduplicator(), set[Row]()
    for rows in batches[:2]:
        ledger.mark_new(table(rows))
        expected(rows, seen)
    copy = ledger.copy()
    for rows in batches[2:]:
        ledger.mark_new(table(rows))
    for rows in batches:
        assert copy.copy().mark_new(table(rows)).is_new.to_list() == expected(rows, set(seen))


def test_consecutive_numbers_are_kept_as_one_range() -> None:
    """Memory grows with the missing ranges only."""
    ledger = Deduplicator()
    for begin in range(0, 100_000, 1000):
        ledger.mark_new(table([("A/B", n + 1, "", 0) for n in range(begin, begin + 1000)]))
    assert (ledger.ranges_by_series["A/B"].first, ledger.ranges_by_series["A/B"].last) == (
        [1],
        [100_000],
    )


def test_id_of_unnumbered_trade_expires_after_the_retention() -> None:
    """Every candle of the trade is closed by then."""
    ledger = Deduplicator()
    row: Row = ("A/B", 0, "a", 0)
    ledger.mark_new(table([row]))
    moment = int(START.timestamp() * 1_000_000)
    ledger.expire(moment + ID_RETENTION // timedelta(microseconds=1))
    assert ledger.copy().mark_new(table([row])).is_new.to_list() == [False]
    ledger.expire(moment + 1 + ID_RETENTION // timedelta(microseconds=1))
    assert ledger.mark_new(table([row])).is_new.to_list() == [True]


def test_id_of_unnumbered_trade_is_kept_while_its_daily_candle_can_change() -> None:
    """The first trade of a day can change its daily candle until 15 minutes after that day."""
    ledger = Deduplicator()
    row: Row = ("A/B", 0, "a", 0)
    ledger.mark_new(table([row]))
    until = 24 * 3_600 + 15 * 60  # seconds
    ledger.expire((int(START.timestamp()) + until) * 1_000_000)
    assert ledger.mark_new(table([row])).is_new.to_list() == [False]


NO_OUTAGE = empty(OUTAGES)

TIMED = st.lists(st.lists(st.tuples(SYMBOLS, st.integers(1, 14)), max_size=8), max_size=8)
"""Batches of numbers. Times follow from numbers, in another order."""


def second(number: int) -> int:
    """The second of a trade."""
    return number * 7 % 11


def micros(number: int) -> int:
    return int((START + timedelta(seconds=second(number))).timestamp()) * 1_000_000


def missing_ranges(seen: set[tuple[str, int]]) -> set[tuple[str, int, int, int, int]]:
    """The missing ranges of a plain set."""
    ranges = set()
    for symbol in {symbol for symbol, _ in seen}:
        numbers = sorted(number for name, number in seen if name == symbol)
        for low, high in itertools.pairwise(numbers):
            if high - low > 1:
                times = sorted([micros(low), micros(high)])
                ranges.add((symbol, low + 1, high - 1, times[0], times[1]))
    return ranges


def first_numbers(seen: set[tuple[str, int]]) -> set[tuple[str, int, int]]:
    lowest: dict[str, int] = {}
    for symbol, number in seen:
        lowest[symbol] = min(number, lowest.get(symbol, number))
    return {(symbol, number, micros(number)) for symbol, number in lowest.items()}


def numbered(pairs: list[tuple[str, int]]) -> pl.DataFrame:
    return table([(symbol, n, str(n), second(n)) for symbol, n in pairs])


@given(TIMED)
def test_gap_state_matches_plain_set_after_every_batch(
    batches: list[list[tuple[str, int]]],
) -> None:
    """Missing ranges, first numbers, and the ranges that changed since the batch before."""
    ledger, seen = Deduplicator(), set[tuple[str, int]]()
    for pairs in batches:
        before, first = missing_ranges(seen), first_numbers(seen)
        seen |= set(pairs)
        ledger.mark_new(numbered(pairs))
        state = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
        assert dict(state.missing_ranges.schema) == dict(empty(MISSING_RANGES).schema)
        assert state.missing_ranges.height == len(missing_ranges(seen))
        assert set(state.missing_ranges.rows()) == missing_ranges(seen)
        assert set(state.first_seen.rows()) == first_numbers(seen)
        assert state.first_seen.height == len(first_numbers(seen))
        spans = {(symbol, *times) for symbol, _, _, *times in missing_ranges(seen) ^ before}
        spans |= {(symbol, time, time) for symbol, _, time in first_numbers(seen) ^ first}
        assert set(state.changed_ranges.rows()) == spans
        assert state.changed_ranges.height == len(spans)


@given(TIMED)
def test_deduplicator_restored_from_snapshot_has_the_same_gap_state(
    batches: list[list[tuple[str, int]]],
) -> None:
    """No range counts as changed."""
    ledger, seen = Deduplicator(), {pair for pairs in batches for pair in pairs}
    for pairs in batches:
        ledger.mark_new(numbered(pairs))
    restored = load_deduplicator(pickle.loads(pickle.dumps(save_deduplicator(ledger))))  # noqa: S301 - our own
    state = restored.gap_state(restored.take_changes(), NO_OUTAGE)
    assert (set(state.missing_ranges.rows()), state.changed_ranges.height) == (
        missing_ranges(seen),
        0,
    )
    assert set(state.first_seen.rows()) == first_numbers(seen)


def test_gap_state_is_reused_while_missing_ranges_stay() -> None:
    """A run that continues the last one leaves the missing ranges as they are."""
    ledger = Deduplicator()
    ledger.mark_new(numbered([("A/B", 1), ("A/B", 4), ("C/D", 7)]))
    first_state = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
    ledger.mark_new(numbered([("A/B", 5), ("A/B", 6), ("C/D", 8), ("A/B", 4)]))
    second_state = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
    assert second_state.missing_ranges is first_state.missing_ranges
    assert second_state.changed_ranges.is_empty()
    ledger.mark_new(numbered([("A/B", 9), ("A/B", 8), ("A/B", 7)]))
    assert ledger.gap_state(ledger.take_changes(), NO_OUTAGE) is second_state


def test_unnumbered_trades_have_no_missing_ranges_and_no_first_number() -> None:
    ledger = Deduplicator()
    ledger.mark_new(table([("A/B", 0, "a", 0), ("A/B", 0, "c", 9)]))
    state = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
    assert state.missing_ranges.is_empty()
    assert state.first_seen.is_empty()
    assert state.changed_ranges.is_empty()
