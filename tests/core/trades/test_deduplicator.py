"""The ledger against a plain set."""

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


def expected(rows: list[Row], seen: set[Row]) -> list[bool]:
    fresh = []
    for row in rows:
        fresh.append(row not in seen)
        seen.add(row)
    return fresh


@given(BATCHES)
def test_a_trade_is_let_through_once(batches: list[list[Row]]) -> None:
    """In whatever order numbers come, within a batch and across batches."""
    ledger, seen = Deduplicator(), set[Row]()
    for rows in batches:
        assert ledger.mark_new(table(rows)).is_new.to_list() == expected(rows, seen)


@given(BATCHES)
def test_a_copy_does_not_follow(batches: list[list[Row]]) -> None:
    """What is put in later is not in a copy taken before."""
    ledger, seen = Deduplicator(), set[Row]()
    for rows in batches[:2]:
        ledger.mark_new(table(rows))
        seen |= set(rows)
    copy = ledger.copy()
    for rows in batches[2:]:
        ledger.mark_new(table(rows))
    for rows in batches:
        assert copy.copy().mark_new(table(rows)).is_new.to_list() == expected(rows, set(seen))


def test_a_run_of_numbers_takes_the_room_of_one_range() -> None:
    """Memory is that of the holes."""
    ledger = Deduplicator()
    for begin in range(0, 100_000, 1000):
        ledger.mark_new(table([("A/B", n + 1, "", 0) for n in range(begin, begin + 1000)]))
    assert (ledger.ranges_by_series["A/B"].first, ledger.ranges_by_series["A/B"].last) == (
        [1],
        [100_000],
    )


def test_ids_without_numbers_are_kept_for_a_day() -> None:
    """Longer than any of their candles is open."""
    ledger = Deduplicator()
    row: Row = ("A/B", 0, "a", 0)
    ledger.mark_new(table([row]))
    moment = int(START.timestamp() * 1_000_000)
    ledger.expire(moment + ID_RETENTION // timedelta(microseconds=1))
    assert ledger.copy().mark_new(table([row])).is_new.to_list() == [False]
    ledger.expire(moment + 1 + ID_RETENTION // timedelta(microseconds=1))
    assert ledger.mark_new(table([row])).is_new.to_list() == [True]


def test_id_is_known_as_long_as_the_candle_of_its_day_can_change() -> None:
    """A trade of the first moment of a day, until that day is over by a quarter of an hour."""
    ledger = Deduplicator()
    row: Row = ("A/B", 0, "a", 0)
    ledger.mark_new(table([row]))
    until = 24 * 3_600 + 15 * 60  # seconds
    ledger.expire((int(START.timestamp()) + until) * 1_000_000)
    assert ledger.mark_new(table([row])).is_new.to_list() == [False]


NO_OUTAGE = empty(OUTAGES)

TIMED = st.lists(st.lists(st.tuples(SYMBOLS, st.integers(1, 14)), max_size=8), max_size=8)
"""Batches of numbers. The time of each trade follows from its number, not in its order."""


def second(number: int) -> int:
    """When a trade happened."""
    return number * 7 % 11


def micros(number: int) -> int:
    return int((START + timedelta(seconds=second(number))).timestamp()) * 1_000_000


def holes(seen: set[tuple[str, int]]) -> set[tuple[str, int, int, int, int]]:
    """The holes of a plain set."""
    found = set()
    for symbol in {symbol for symbol, _ in seen}:
        numbers = sorted(number for name, number in seen if name == symbol)
        for low, high in itertools.pairwise(numbers):
            if high - low > 1:
                times = sorted([micros(low), micros(high)])
                found.add((symbol, low + 1, high - 1, times[0], times[1]))
    return found


def begins(seen: set[tuple[str, int]]) -> set[tuple[str, int, int]]:
    lowest: dict[str, int] = {}
    for symbol, number in seen:
        lowest[symbol] = min(number, lowest.get(symbol, number))
    return {(symbol, number, micros(number)) for symbol, number in lowest.items()}


def numbered(pairs: list[tuple[str, int]]) -> pl.DataFrame:
    return table([(symbol, n, str(n), second(n)) for symbol, n in pairs])


@given(TIMED)
def test_holes_are_those_of_a_plain_set(batches: list[list[tuple[str, int]]]) -> None:
    """Also in front of the lowest number, and with what has changed since the batch before."""
    ledger, seen = Deduplicator(), set[tuple[str, int]]()
    for pairs in batches:
        before, first = holes(seen), begins(seen)
        seen |= set(pairs)
        ledger.mark_new(numbered(pairs))
        known = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
        assert dict(known.missing_ranges.schema) == dict(empty(MISSING_RANGES).schema)
        assert known.missing_ranges.height == len(holes(seen))
        assert set(known.missing_ranges.rows()) == holes(seen)
        assert set(known.first_seen.rows()) == begins(seen)
        assert known.first_seen.height == len(begins(seen))
        spans = {(symbol, *times) for symbol, _, _, *times in holes(seen) ^ before}
        spans |= {(symbol, time, time) for symbol, _, time in begins(seen) ^ first}
        assert set(known.changed_ranges.rows()) == spans
        assert known.changed_ranges.height == len(spans)


@given(TIMED)
def test_a_ledger_goes_on_from_its_copy(batches: list[list[tuple[str, int]]]) -> None:
    """With all the holes there are, and none said to have changed."""
    ledger, seen = Deduplicator(), {pair for pairs in batches for pair in pairs}
    for pairs in batches:
        ledger.mark_new(numbered(pairs))
    copy = load_deduplicator(pickle.loads(pickle.dumps(save_deduplicator(ledger))))  # noqa: S301 - our own
    known = copy.gap_state(copy.take_changes(), NO_OUTAGE)
    assert (set(known.missing_ranges.rows()), known.changed_ranges.height) == (holes(seen), 0)
    assert set(known.first_seen.rows()) == begins(seen)


def test_what_is_known_is_made_once_while_nothing_changes() -> None:
    """A run that goes on where the last one ended leaves the holes as they are."""
    ledger = Deduplicator()
    ledger.mark_new(numbered([("A/B", 1), ("A/B", 4), ("C/D", 7)]))
    first = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
    ledger.mark_new(numbered([("A/B", 5), ("A/B", 6), ("C/D", 8), ("A/B", 4)]))
    second_ = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
    assert second_.missing_ranges is first.missing_ranges
    assert second_.changed_ranges.is_empty()
    ledger.mark_new(numbered([("A/B", 9), ("A/B", 8), ("A/B", 7)]))
    assert ledger.gap_state(ledger.take_changes(), NO_OUTAGE) is second_


def test_unnumbered_trades_have_no_holes_and_no_begin() -> None:
    """Nobody can tell what is missing of them."""
    ledger = Deduplicator()
    ledger.mark_new(table([("A/B", 0, "a", 0), ("A/B", 0, "c", 9)]))
    known = ledger.gap_state(ledger.take_changes(), NO_OUTAGE)
    assert known.missing_ranges.is_empty()
    assert known.first_seen.is_empty()
    assert known.changed_ranges.is_empty()
