"""Rows and columns over made frames of all exchanges: the same state, counters and tables."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from tests.both_paths import comparison
from tests.both_paths.made_frames import BEGIN_US, FrameMaker, MadeFrame
from tests.both_paths.path import FramePath
from tests.both_paths.run import compare_paths
from tests.support.databases import Databases
from tests.support.examples import EXAMPLES, examples

pytestmark = pytest.mark.slow("thousands of frames in three ways", seconds=15)

SECOND_US = 1_000_000


def batches(frames: Sequence[MadeFrame], size: int) -> list[Sequence[MadeFrame]]:
    """Return frames in batches of a size."""
    return [frames[begin : begin + size] for begin in range(0, len(frames), size)]


def played(tables: Database, frames: Sequence[MadeFrame], size: int) -> Database:
    """Store frames as columns, in batches of a size."""
    path = FramePath(tables, by_rows=False)
    for batch in batches(frames, size):
        path.add(batch)
    path.flush()
    return tables


@examples(1)
@given(st.integers(0, 2**32))
def test_rows_and_columns_of_made_frames_are_equal(databases: Databases, seed: int) -> None:
    """Cut at random, with restarts. `make both-paths` makes millions."""
    with databases.one() as rows, databases.one() as columns, databases.one() as whole:
        frames = FrameMaker(seed).frames(50 * EXAMPLES)
        result = compare_paths(frames, (rows, columns, whole), seed, largest_batch=300)
    assert result.differences == []
    assert result.row_batches > 0


def test_made_frames_are_those_of_their_seed() -> None:
    first, second, other = (list(FrameMaker(seed).frames(3_000)) for seed in (5, 5, 6))
    assert first == second
    assert first != other


def test_differing_paths_are_told_apart(databases: Databases) -> None:
    """State, counters and tables differ if one way misses a frame."""
    frames = list(FrameMaker(3).frames(1_000))
    with databases.one() as one, databases.one() as other:
        paths = FramePath(one, by_rows=True), FramePath(other, by_rows=False)
        for path, own in zip(paths, (frames, frames[:-1]), strict=True):
            path.add(own)
            path.flush()
        assert list(comparison.find_state_differences(*paths))
        assert list(comparison.find_counter_differences(*paths))
        tables = list(comparison.find_table_differences(one, other))
        assert any(line.startswith("silver_trades") for line in tables)
        assert any(line.startswith("  only in") for line in tables)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_begin_of_a_market_outage_does_not_depend_on_cuts(databases: Databases, size: int) -> None:
    """A market is refused between two of its trades, and all may come as one batch."""
    event = json.dumps({"candlewax": "refused", "instruments": ["BTCUSDT"]})
    texts = [_trade(1, 0), event, _trade(2, 9)]
    frames = [
        MadeFrame("binance", (BEGIN_US + 5 * SECOND_US * place) * 1_000, "b", place, text, 1)
        for place, text in enumerate(texts)
    ]
    with databases.one() as cut, databases.one() as whole:
        played(cut, frames, size)
        played(whole, frames, 3)
        differences = list(comparison.find_table_differences(cut, whole, ["market_outages"]))
        (since,) = cut.query("SELECT toUnixTimestamp64Micro(since) FROM market_outages").row(0)
    assert differences == []
    assert since == BEGIN_US


def _trade(number: int, second: int) -> str:
    return json.dumps(
        {
            "e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": "5", "q": "1",
            "T": (BEGIN_US + second * SECOND_US) // 1_000, "m": True, "M": True,
        }
    )  # fmt: skip
