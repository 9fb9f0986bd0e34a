"""Conversion of Polars frames to the Arrow tables that ClickHouse inserts."""

from collections.abc import Sequence
from itertools import accumulate, repeat
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from candlewax.core.schema import TRADES, VENDOR

_NAMES: Final = pl.Categorical
"""Type of columns of repeated names: they are sent as dictionary codes."""

_OLDEST: Final = pl.CompatLevel.oldest()


COLUMN_BY_COLUMN_ROWS: Final = 3_000
"""Rows up to which converting each column by itself is faster: an operation on a whole frame
costs as much for ten rows as for thousands."""


_UNIFIED: Final = [name for name in TRADES if name != "condition"]


def rows(table: str, frames: Sequence[pl.DataFrame]) -> pa.Table:
    """Return the rows of one insert as an Arrow table.

    The frames have the columns of their table; for `silver_trades` those of TRADES and vendor
    columns.
    """
    if sum(frame.height for frame in frames) <= COLUMN_BY_COLUMN_ROWS:
        return _small_trades(frames) if table == "silver_trades" else _small_plain(frames)
    frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")
    return _trades(frame) if table == "silver_trades" else _plain(frame)


def _small_trades(frames: Sequence[pl.DataFrame]) -> pa.Table:
    plain = [pl.DataFrame([frame[name] for name in _UNIFIED]) for frame in frames]
    conditions = [value for frame in frames for value in frame["condition"].to_list()]
    present = [value for value in conditions if value is not None]
    offsets = list(accumulate((value is not None for value in conditions), initial=0))
    return (
        _small_plain(plain)
        .append_column(
            "conditions", pa.ListArray.from_arrays(_offset_array(offsets), _strings(present))
        )
        .append_column("vendor_data", _small_vendor_data(frames))
    )


def _small_plain(frames: Sequence[pl.DataFrame]) -> pa.Table:
    frame = frames[0]
    for other in frames[1:]:
        frame = frame.vstack(other)
    arrays = {}
    for column in frame.get_columns():
        # A categorical column would bring the dictionary of all values of the process.
        text = column.cast(pl.String) if column.dtype == pl.Categorical else column
        arrays[column.name] = text.to_arrow(compat_level=_OLDEST)
    return pa.table(arrays)


def _small_vendor_data(frames: Sequence[pl.DataFrame]) -> pa.MapArray:
    """Return for each trade a map of its vendor fields without nulls, in column order."""
    keys: list[str] = []
    values: list[str] = []
    offsets = [0]
    for frame in frames:
        columns = [column for column in frame.get_columns() if column.name.startswith(VENDOR)]
        names = [column.name.removeprefix(VENDOR) for column in columns]
        rows = zip(*(column.to_list() for column in columns), strict=True)
        for row in rows if columns else repeat((), frame.height):
            for name, value in zip(names, row, strict=True):
                if value is not None:
                    keys.append(name)
                    values.append(value)
            offsets.append(len(keys))
    return pa.MapArray.from_arrays(_offset_array(offsets), _strings(keys), _strings(values))


# These two go through Polars: pyarrow imports pandas to make an array of a list.


def _offset_array(offsets: Sequence[int]) -> pa.Array:
    return pl.Series(offsets, dtype=pl.Int32).to_arrow()


def _strings(texts: Sequence[str]) -> pa.Array:
    return pl.Series(texts, dtype=pl.String).to_arrow(compat_level=_OLDEST).cast(pa.string())


_NAME_COLUMNS: Final = frozenset({"exchange", "connection", "source", "symbol", "reason"})


def _plain(frame: pl.DataFrame) -> pa.Table:
    arrays = {
        column.name: _name_codes(column)
        if column.name in _NAME_COLUMNS
        else column.to_arrow(compat_level=_OLDEST)
        for column in frame.get_columns()
    }
    return pa.table(arrays)


def _name_codes(column: pl.Series) -> pa.Array:
    """Return a column of names as dictionary codes."""
    first = column.first()
    # Nearly always a block has one exchange and one source. To look each up takes far longer.
    if column.dtype == pl.String and first is not None and column.eq_missing(first).all():
        codes = pl.repeat(0, column.len(), dtype=pl.UInt32, eager=True)
        return pa.DictionaryArray.from_arrays(codes.to_arrow(), _strings([str(first)]))
    return column.cast(_NAMES).to_arrow(compat_level=_OLDEST)


def _trades(frame: pl.DataFrame) -> pa.Table:
    vendor = [name for name in frame.columns if name.startswith(VENDOR)]
    table = _plain(frame.select(_UNIFIED))
    return table.append_column("conditions", _conditions(frame["condition"])).append_column(
        "vendor_data", _vendor_data(frame.select(vendor), frame.height)
    )


def _conditions(condition: pl.Series) -> pa.ListArray:
    """Return for each trade a list with its condition; an empty list for null."""
    present = condition.is_not_null()
    values = condition.drop_nulls().to_arrow(compat_level=_OLDEST).cast(pa.string())
    return pa.ListArray.from_arrays(_offsets(present), values)


def _vendor_data(fields: pl.DataFrame, height: int) -> pa.MapArray:
    """Return for each of `height` trades a map of its fields without nulls, in column order."""
    width = fields.width
    names = _strings([name.removeprefix(VENDOR) for name in fields.columns])
    columns = [pl.Series(dtype=pl.String), *fields.iter_columns()]
    values = pa.concat_arrays([column.to_arrow(compat_level=_OLDEST) for column in columns])
    # `values` holds column after column; `order` brings them row after row.
    numbers = pl.select(n=pl.int_range(height * width, dtype=pl.Int64))
    order = numbers.select(pl.col("n") % width * height + pl.col("n") // width).to_series()
    keys = numbers.select((pl.col("n") % width).cast(pl.Int32)).to_series()
    interleaved = values.take(order.to_arrow()).cast(pa.string())
    named = pa.DictionaryArray.from_arrays(keys.to_arrow(), names)
    counts = pl.repeat(width, height, dtype=pl.Int32, eager=True)
    if interleaved.null_count:
        present = pc.is_valid(interleaved)
        named, interleaved = named.filter(present), interleaved.filter(present)
        counts = fields.select(pl.sum_horizontal(pl.all().is_not_null().cast(pl.Int32))).to_series()
    return pa.MapArray.from_arrays(_offsets(counts), named, interleaved)


def _offsets(counts: pl.Series) -> pa.Array:
    """Return the offsets of lists with these lengths: each begin, and the last end."""
    ends = counts.cast(pl.Int32).cum_sum().rename("")
    return pl.concat([pl.Series([0], dtype=pl.Int32), ends]).to_arrow()
