"""Extent of a batch per symbol, for small and large batches."""

from datetime import UTC, datetime, timedelta
from unittest import mock

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.core.schema import TIME
from candlewax.core.trades.extents import Extent, extents

START = 1_790_000_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[str, int, int]
"""symbol, number, microseconds."""

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["A/B", "C/D"]),
        st.one_of(st.integers(1, 6), st.integers(2**64 - 4, 2**64 - 1)),
        st.one_of(st.integers(0, 9), st.sampled_from([0, 1, 2])),
    ),
    min_size=1,
    max_size=12,
)


def expected(rows: list[Row], symbol: str) -> tuple[Extent, bool]:
    """The extent in plain Python, and whether the numbers are one ascending run."""
    own = [(number, time) for name, number, time in rows if name == symbol]
    numbers, times = [number for number, _ in own], [time for _, time in own]
    least, most = min(numbers), max(numbers)
    # The first trade with a number defines its time.
    begin, end = times[numbers.index(least)], times[numbers.index(most)]
    extent = Extent(
        symbol, least, most, START + begin, START + end, len(own), len(set(numbers)),
        START + min(times), START + max(times), numbers == sorted(numbers),
    )  # fmt: skip
    return extent, numbers == list(range(least, least + len(numbers)))


@pytest.mark.parametrize("few", [0, 300], ids=["many", "few"])
@given(rows=ROWS)
@example(rows=[("A/B", 5, 9), ("A/B", 6, 1), ("A/B", 7, 3)])
@example(rows=[("A/B", 5, 1), ("A/B", 6, 2), ("A/B", 3, 3), ("A/B", 4, 4)])
@example(rows=[("A/B", 5, 1), ("A/B", 5, 2), ("A/B", 7, 3)])
def test_extent_matches_plain_list(few: int, rows: list[Row]) -> None:
    """Times of the ends are those of their trades. A run that starts again within the batch is
    none.
    """
    moments = [EPOCH + timedelta(microseconds=START + time) for *_, time in rows]
    keys = pl.DataFrame(
        {
            "symbol": pl.Series([row[0] for row in rows], dtype=pl.Categorical),
            "sequence": pl.Series([row[1] for row in rows], dtype=pl.UInt64),
            "timestamp": pl.Series(moments, dtype=TIME),
        }
    )
    with mock.patch("candlewax.core.trades.extents._LOOP_TRADES", few):
        actual = sorted(extents(keys))
    expected_extents = [expected(rows, symbol) for symbol in sorted({row[0] for row in rows})]
    assert actual == [extent for extent, _ in expected_extents]
    assert [extent.is_whole for extent in actual] == [whole for _, whole in expected_extents]
