"""Candles as Arrow: exact, and of one shape wherever they come from."""

from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given

from candlewax.web import encode
from candlewax.web.cache import columns
from tests.web.cache.test_chunks import as_json, candles, rows_of, same


@given(candles(4))
def test_each_value_of_csv_is_there_with_every_digit(expected: list[dict[str, Any]]) -> None:
    """In a file, too."""
    table = columns.parse(encode.csv(encode.json_and_csv(rows_of(expected))[1]))
    same(table, expected)
    assert columns.unpack(columns.pack(rows_of(expected))).equals(table)
    assert pl.read_ipc_stream(columns.as_arrow(table)).equals(rows_of(expected))
    assert pl.read_parquet(columns.as_parquet(table)).equals(rows_of(expected))


@given(candles(1))
def test_an_amount_with_more_digits_than_a_table_has_is_an_error(
    expected: list[dict[str, Any]],
) -> None:
    """It is not rounded."""
    (row,) = encode.csv_rows([as_json(expected[0] | {"low": Decimal("1.0000000000001")})])
    with pytest.raises(pa.ArrowInvalid):
        columns.parse(encode.csv([row]))


def test_what_lacks_a_field_is_an_error() -> None:
    """Nothing is made up."""
    with pytest.raises(pa.ArrowInvalid):
        columns.parse(encode.csv([b"2026-09-14T00:00:00Z,1,2"]))


def test_the_columns_are_the_fields_of_a_candle() -> None:
    """In their order, also where there are none."""
    assert columns.parse(encode.csv(())).schema.names == list(encode.CANDLE)
