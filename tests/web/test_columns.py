"""Candles as Arrow: exact, and of one shape wherever they come from."""

import json
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given

from candlewax.web import columns, encode
from tests.web.test_chunks import as_json, candles, rows_of, same


@given(candles(4))
def test_json_and_rows_become_the_same_table(expected: list[dict[str, Any]]) -> None:
    """With every digit."""
    parsed = columns.parse([as_json(candle) for candle in expected])
    unpacked = columns.unpack(columns.pack(rows_of(expected)))
    same(parsed, expected)
    assert unpacked.equals(parsed)
    assert pl.read_ipc_stream(columns.as_arrow(parsed)).equals(rows_of(expected))


@given(candles(1))
def test_an_amount_with_more_digits_than_a_table_has_is_an_error(
    expected: list[dict[str, Any]],
) -> None:
    """It is not rounded."""
    said = json.loads(as_json(expected[0])) | {"low": "1.0000000000001"}
    with pytest.raises(pa.ArrowInvalid):
        columns.parse([json.dumps(said).encode()])


def test_a_field_that_no_candle_has_is_an_error() -> None:
    """Nothing is left out."""
    with pytest.raises(pa.ArrowInvalid):
        columns.parse([b'{"nonsense":1}'])


def test_the_columns_are_the_fields_of_a_candle() -> None:
    """In their order."""
    assert columns.parse(()).schema.names == list(encode.CANDLE)
