"""Rows of plain values as a frame."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl

from candlewax.core.schema import Columns, empty


def build_table(columns: Columns, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows with these columns, times in microseconds and amounts in units of their last
    decimal.
    """
    if not rows:
        return empty(columns)
    values = zip(*rows, strict=True)
    pairs = zip(columns.items(), values, strict=True)
    return pl.DataFrame([_column(name, kind, column) for (name, kind), column in pairs])


def _column(name: str, kind: pl.DataType | type[pl.DataType], values: Sequence[Any]) -> pl.Series:
    if isinstance(kind, pl.Decimal):
        units = pl.Series(name, values, pl.Int128).cast(pl.Decimal(38, 0))
        return units * _last_decimal(kind.scale)
    if isinstance(kind, pl.Datetime):
        return pl.Series(name, values, pl.Int64).cast(kind)
    return pl.Series(name, values, kind)


@cache
def _last_decimal(scale: int) -> pl.Series:
    """Return one unit of the last decimal."""
    return pl.Series([Decimal(1).scaleb(-scale)], dtype=pl.Decimal(38, scale))
