"""Ids of trades without numbers: duplicates by id and about the same time, also stored ones."""

from datetime import UTC, datetime, timedelta
from unittest import mock

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.schema import TIME, Columns
from candlewax.core.trades.unnumbered import ID_RETENTION, SAME_TRADE, KnownIds, drop_stored

START = datetime(2026, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)

Key = tuple[str, str, timedelta]
"""Symbol, id and time since the start."""


def keys(*rows: Key) -> pl.DataFrame:
    """Keys of trades, in the order received."""
    schema: Columns = {"symbol": pl.String, "trade_id": pl.String, "timestamp": TIME}
    values = [(symbol, trade_id, START + time) for symbol, trade_id, time in rows]
    return pl.DataFrame(values, schema, orient="row").with_row_index("place")


def duplicates(known: KnownIds, *rows: Key) -> list[int]:
    return sorted(known.add(keys(*rows)).to_list())


def test_trade_of_known_id_and_about_its_time_is_a_duplicate() -> None:
    """Some exchanges cut times to the second over REST. Ids are of one market."""
    known = KnownIds()
    assert duplicates(known, ("A/B", "7", SAME_TRADE)) == []
    rows = [("A/B", "7", timedelta()), ("A/B", "7", 2 * SAME_TRADE), ("A/B", "7", -MICRO)]
    assert duplicates(known, *rows, ("C/D", "7", SAME_TRADE)) == [0, 1]


def test_trade_may_come_twice_in_one_batch() -> None:
    """Each is compared with the new trades before it, not with its duplicates."""
    rows = [("A/B", "u-1", n * SAME_TRADE) for n in (0, 1, 2, 3)]
    assert duplicates(KnownIds(), *rows) == [1, 3]


def drop(known: KnownIds, stored: pl.DataFrame, *rows: Key) -> tuple[list[bool], int]:
    """Return which trades are new, and how many were looked up."""
    looked_up = []

    def read_ids(asked: pl.DataFrame) -> pl.DataFrame:
        looked_up.append(asked.height)
        return stored

    trades = keys(*rows).with_columns(sequence=pl.lit(0, pl.UInt64))
    is_new = pl.Series([True] * trades.height)
    return drop_stored(trades, is_new, known, read_ids).to_list(), sum(looked_up)


def test_trade_of_an_expired_id_is_looked_up_among_stored_ones() -> None:
    known, day = KnownIds(), timedelta(days=1)
    stored = keys(("A/B", "7", SAME_TRADE / 2)).drop("place")
    rows = [("A/B", "7", timedelta()), ("A/B", "8", timedelta()), ("A/B", "9", 2 * day)]
    assert drop(known, stored, *rows) == ([True] * 3, 0)
    latest = START + 2 * day + ID_RETENTION - timedelta(seconds=2)
    known.expire(int(latest.timestamp()) * 1_000_000)
    assert drop(known, stored, *rows) == ([False, True, True], 2)


KEYS = st.tuples(
    st.sampled_from(["A/B", "C/D"]),
    st.sampled_from(["1", "2"]),
    st.integers(0, 40).map(lambda n: n * SAME_TRADE / 2),
)


@given(st.lists(st.tuples(st.booleans(), st.lists(KEYS, min_size=1, max_size=4)), max_size=12))
def test_few_trades_are_known_as_many_are(batches: list[tuple[bool, list[Key]]]) -> None:
    """However they come: one by one, as columns, and in a copy of the ids."""
    known, accepted = KnownIds(), list[Key]()
    with mock.patch("candlewax.core.trades.unnumbered._CHUNK_ROWS", 3):
        for is_few, rows in batches:
            expected = []
            for symbol, trade_id, time in rows:
                is_new = not any(
                    (symbol, trade_id) == other[:2] and abs(time - other[2]) <= SAME_TRADE
                    for other in accepted
                )
                accepted += [(symbol, trade_id, time)] if is_new else []
                expected.append(is_new)
            copy = known.copy()
            for ids in (known, copy):
                if is_few:
                    start_us = int(START.timestamp()) * 1_000_000
                    few = [(*one[:2], start_us + one[2] // MICRO) for one in rows]
                    found = ids.add_few(few)
                else:
                    places = set(duplicates(ids, *rows))
                    found = [place not in places for place in range(len(rows))]
                assert found == expected
            assert sum(chunk.height for chunk in known.chunks) == len(accepted)
