"""The ledger against a plain set."""

import itertools
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.ledger import KEPT, Ledger, Ranges

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
    ledger, seen = Ledger(), set[Row]()
    for rows in batches:
        assert ledger.admit(table(rows)).to_list() == expected(rows, seen)


@given(BATCHES)
def test_a_copy_does_not_follow(batches: list[list[Row]]) -> None:
    """What is put in later is not in a copy taken before."""
    ledger, seen = Ledger(), set[Row]()
    for rows in batches[:2]:
        ledger.admit(table(rows))
        seen |= set(rows)
    copy = ledger.copy()
    for rows in batches[2:]:
        ledger.admit(table(rows))
    for rows in batches:
        assert copy.copy().admit(table(rows)).to_list() == expected(rows, set(seen))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=25))
def test_ranges_hold_what_was_put_in_and_stay_apart(spans: list[tuple[int, int]]) -> None:
    """Neighbouring ranges grow together."""
    ranges, numbers = Ranges(), set[int]()
    for first, length in spans:
        ranges.add(first, first + length)
        numbers |= set(range(first, first + length + 1))
    held = ranges.holds(pl.Series(range(70), dtype=pl.UInt64))
    assert held.to_list() == [n in numbers for n in range(70)]
    joined = list(zip(ranges.first, ranges.last, strict=True))
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(joined))


def test_a_run_of_numbers_takes_the_room_of_one_range() -> None:
    """Memory is that of the holes."""
    ledger = Ledger()
    for begin in range(0, 100_000, 1000):
        ledger.admit(table([("A/B", n + 1, "", 0) for n in range(begin, begin + 1000)]))
    assert (ledger.numbered["A/B"].first, ledger.numbered["A/B"].last) == ([1], [100_000])


def test_ids_without_numbers_are_kept_for_a_day() -> None:
    """Longer than any of their candles is open."""
    ledger = Ledger()
    row: Row = ("A/B", 0, "a", 0)
    ledger.admit(table([row]))
    moment = int(START.timestamp() * 1_000_000)
    ledger.forget(moment + KEPT // timedelta(microseconds=1))
    assert ledger.copy().admit(table([row])).to_list() == [False]
    ledger.forget(moment + 1 + KEPT // timedelta(microseconds=1))
    assert ledger.admit(table([row])).to_list() == [True]
