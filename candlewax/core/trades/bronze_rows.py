"""Rows of `bronze_frames`, from frames and what was decoded from them.

Pure functions over frames.
"""

import polars as pl

from candlewax.core.schema import BRONZE, KIND_CONTROL, KIND_DEAD, KIND_TRADE, SOURCE, TIME


def bronze_rows(
    exchange: str, frames: pl.DataFrame, trade_rows: pl.Series, fault_rows: pl.Series
) -> pl.DataFrame:
    """Return BRONZE of frames (FRAMES and SOURCE, `row`), with `duplicates` 0.

    `trade_rows`, `fault_rows`: the row of each trade and of each fault.
    """
    counts = _count_rows(frames.height, trade_rows)
    faulty = pl.Series(dtype=pl.Boolean, values=[False]).new_from_index(0, frames.height)
    if fault_rows.len():
        faulty = faulty.scatter(fault_rows.unique(), True)
    kind = pl.when(counts > 0).then(KIND_TRADE).when(faulty).then(KIND_DEAD).otherwise(KIND_CONTROL)
    return frames.select(
        "connection",
        *SOURCE,
        "frame",
        exchange=pl.lit(exchange),
        received_at=(pl.col("recv_ns") // 1000).cast(TIME),
        received_ns=(pl.col("recv_ns") % 1000).cast(pl.UInt16),
        kind=kind.cast(pl.Int8),
        trades=counts,
        duplicates=pl.lit(0, pl.UInt16),
    ).select(*BRONZE)


def _count_rows(height: int, rows: pl.Series) -> pl.Series:
    """Count each row number (UInt16)."""
    if rows.len() == height and rows.n_unique() == height:
        return pl.Series(dtype=pl.UInt16, values=[1]).new_from_index(0, height)
    counts = rows.value_counts()
    zeros = pl.Series(dtype=pl.UInt16, values=[0]).new_from_index(0, height)
    return zeros.scatter(counts["row"], counts["count"].cast(pl.UInt16)) if height else zeros
