"""What a batch holds of each symbol: by the way of few trades and by that of many."""

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
    """The same in plain Python, and whether the numbers are one run in order."""
    own = [(number, time) for name, number, time in rows if name == symbol]
    numbers, times = [number for number, _ in own], [time for _, time in own]
    least, most = min(numbers), max(numbers)
    # Of trades that share a number the first one has it.
    begin, end = times[numbers.index(least)], times[numbers.index(most)]
    found = Extent(
        symbol, least, most, START + begin, START + end, len(own), len(set(numbers)),
        START + min(times), START + max(times), numbers == sorted(numbers),
    )  # fmt: skip
    return found, numbers == list(range(least, least + len(numbers)))


@pytest.mark.parametrize("few", [0, 300], ids=["many", "few"])
@given(rows=ROWS)
@example(rows=[("A/B", 5, 9), ("A/B", 6, 1), ("A/B", 7, 3)])
@example(rows=[("A/B", 5, 1), ("A/B", 6, 2), ("A/B", 3, 3), ("A/B", 4, 4)])
@example(rows=[("A/B", 5, 1), ("A/B", 5, 2), ("A/B", 7, 3)])
def test_extent_is_that_of_a_plain_list(few: int, rows: list[Row]) -> None:
    """Times of the ends are those of their trades, whichever is earlier; a run that begins anew
    within the batch is none.
    """
    moments = [EPOCH + timedelta(microseconds=START + time) for *_, time in rows]
    keys = pl.DataFrame(
        {
            "symbol": pl.Series([row[0] for row in rows], dtype=pl.Categorical),
            "sequence": pl.Series([row[1] for row in rows], dtype=pl.UInt64),
            "timestamp": pl.Series(moments, dtype=TIME),
        }
    )
    with mock.patch("candlewax.core.trades.extents._SMALL_BATCH_ROWS", few):
        found = sorted(extents(keys))
    wanted = [expected(rows, symbol) for symbol in sorted({row[0] for row in rows})]
    assert found == [one for one, _ in wanted]
    assert [one.is_whole for one in found] == [whole for _, whole in wanted]
