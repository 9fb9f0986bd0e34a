"""Rows of an insert, split so that ClickHouse accepts the number of partitions."""

from typing import Final

import polars as pl

from candlewax.core.candles.combine import TIMEFRAMES

_PARTITION: Final[dict[str, pl.Expr]] = {
    "bronze_frames": pl.col("received_at").dt.epoch("d"),
    "silver_trades": pl.col("timestamp").dt.epoch("d"),
    "dead_letters": pl.col("received_at").dt.month_start().dt.epoch("d"),
    # Some tables keep day candles in partitions of their own, so they get a key of their own.
    "ohlcv": pl.col("window_start").dt.month_start().dt.epoch("d") * 10
    + (pl.col("timeframe") == TIMEFRAMES["1d"][0]).cast(pl.Int32),
}
_PARTITION["ohlcv_revisions"] = _PARTITION["ohlcv"]
"""Expression that numbers the partitions of a table, by the PARTITION BY of its DDL."""

_MAX_PARTITIONS: Final = 100
"""Partitions that ClickHouse accepts in one insert."""


def split_by_partitions(table: str, frames: list[pl.DataFrame]) -> list[list[pl.DataFrame]]:
    """Return the frames of a table in groups with at most _MAX_PARTITIONS partitions each."""
    if not frames or table not in _PARTITION or sum(f.height for f in frames) <= _MAX_PARTITIONS:
        return [frames] if frames else []
    keys = [frame.select(key=_PARTITION[table]).to_series() for frame in frames]
    distinct = pl.concat(keys).unique().sort()
    if distinct.len() <= _MAX_PARTITIONS:
        return [frames]
    groups = []
    for begin in range(0, distinct.len(), _MAX_PARTITIONS):
        chunk = distinct[begin : begin + _MAX_PARTITIONS].implode()
        groups.append(
            [frame.filter(key.is_in(chunk)) for frame, key in zip(frames, keys, strict=True)]
        )
    return groups
