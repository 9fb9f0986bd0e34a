"""DataFrames become the Arrow tables that ClickHouse accepts."""

import subprocess
import sys
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse import arrow
from candlewax.core.schema import TRADES, VENDOR
from candlewax.exchanges import EXCHANGES
from tests.support.candles import fill, table
from tests.support.decoding import read
from tests.support.frame_texts import valid_frames

VENDORS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.none() | st.text(max_size=3))
ROWS = st.lists(st.tuples(st.sampled_from([None, "ADL", "x"]), VENDORS), min_size=1, max_size=5)


def trades(rows: list[tuple[str | None, dict[str, str | None]]]) -> pl.DataFrame:
    """Trades as the decoder returns them: a column for each vendor field of any trade."""
    plain = table([fill(10, sequence=n) for n, _ in enumerate(rows, 1)])
    names = sorted({name for _, vendor in rows for name in vendor})
    return plain.with_columns(
        pl.Series("condition", [condition for condition, _ in rows], pl.String),
        *(
            pl.Series(VENDOR + name, [vendor.get(name) for _, vendor in rows], pl.String)
            for name in names
        ),
    )


@pytest.mark.parametrize("small_batch_rows", [-1, arrow.COLUMN_BY_COLUMN_ROWS])
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_row_has_the_conditions_and_vendor_data_of_its_trade(
    small_batch_rows: int, batches: list[list[tuple[str | None, dict[str, str | None]]]]
) -> None:
    """With any vendor fields, by the code for small batches and for large ones."""
    with mock.patch.object(arrow, "COLUMN_BY_COLUMN_ROWS", small_batch_rows):
        columns = arrow.rows("silver_trades", [trades(rows) for rows in batches]).to_pydict()
    expected_rows = [row for rows in batches for row in rows]
    assert columns["conditions"] == [[c] if c is not None else [] for c, _ in expected_rows]
    expected = [
        {name: value for name, value in vendor.items() if value is not None}
        for _, vendor in expected_rows
    ]
    assert [dict(row) for row in columns["vendor_data"]] == expected
    assert columns["symbol"] == ["A/B"] * len(expected_rows)
    assert set(columns) == {*TRADES, "conditions", "vendor_data"} - {"condition"}


@given(st.lists(valid_frames(), min_size=1, max_size=4))
def test_small_and_large_batches_give_the_same_rows(frames: list[tuple[str, str, str]]) -> None:
    """For frames and trades, value by value."""
    for exchange in {name for name, _, _ in frames}:
        assert exchange in EXCHANGES
        decoded = read(exchange, *(text for name, text, _ in frames if name == exchange))
        for name, frame in (
            ("bronze_frames", decoded.bronze),
            ("silver_trades", decoded.trades.drop("row")),
        ):
            small = arrow.rows(name, [frame, frame]).to_pydict()
            with mock.patch.object(arrow, "COLUMN_BY_COLUMN_ROWS", -1):
                large: dict[str, Any] = arrow.rows(name, [frame, frame]).to_pydict()
            assert small == large


ALONE = """
import sys
from candlewax.clickhouse import arrow
from tests.clickhouse.test_arrow import trades
some = trades([("ADL", {"a": "1", "b": None}), (None, {})])
arrow.rows("silver_trades", [some])
arrow.FEW = -1
arrow.rows("silver_trades", [some])
sys.exit("pandas" in sys.modules)
"""


def test_pandas_is_not_imported() -> None:
    """It is not needed, and its import would take a third of the start."""
    assert subprocess.run([sys.executable, "-c", ALONE], check=False).returncode == 0
