"""Candles as Arrow: exact, with the same columns whatever they are made from."""

from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given

from candlewax.web import encode
from candlewax.web.cache import columns
from tests.web.cache.test_chunks import as_json, assert_table_holds, candles, rows_of


@given(candles(4))
def test_parsed_csv_keeps_every_digit(expected: list[dict[str, Any]]) -> None:
    """Packing, Arrow and Parquet keep them too."""
    table = columns.parse(encode.csv(encode.json_and_csv(rows_of(expected))[1]))
    assert_table_holds(table, expected)
    assert columns.unpack(columns.pack(rows_of(expected))).equals(table)
    assert pl.read_ipc_stream(columns.as_arrow(table)).equals(rows_of(expected))
    assert pl.read_parquet(columns.as_parquet(table)).equals(rows_of(expected))


@given(candles(1))
def test_amount_with_too_many_digits_is_refused(
    expected: list[dict[str, Any]],
) -> None:
    """An amount with more digits than the table has is never rounded."""
    (row,) = encode.csv_rows([as_json(expected[0] | {"low": Decimal("1.0000000000001")})])
    with pytest.raises(pa.ArrowInvalid):
        columns.parse(encode.csv([row]))


def test_csv_row_without_a_field_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        columns.parse(encode.csv([b"2026-09-14T00:00:00Z,1,2"]))


def test_columns_are_the_fields_of_a_candle() -> None:
    """In the same order, also for an empty table."""
    assert columns.parse(encode.csv(())).schema.names == list(encode.CANDLE)
