"""How rows are cut into inserts that ClickHouse takes."""

from typing import Final

import polars as pl

from candlewax.core.candles.combine import TIMEFRAMES

_PARTITION: Final[dict[str, pl.Expr]] = {
    "bronze_frames": pl.col("received_at").dt.epoch("d"),
    "silver_trades": pl.col("timestamp").dt.epoch("d"),
    "dead_letters": pl.col("received_at").dt.month_start().dt.epoch("d"),
    # Days and all shorter timeframes lie apart, in tables of candles that are older too.
    "ohlcv": pl.col("window_start").dt.month_start().dt.epoch("d") * 10
    + (pl.col("timeframe") == TIMEFRAMES["1d"][0]).cast(pl.Int32),
}
_PARTITION["ohlcv_revisions"] = _PARTITION["ohlcv"]
"""A number for each partition of a table, as its DDL cuts it."""

_MOST_PARTITIONS: Final = 100
"""Of a table in one insert: ClickHouse takes no more."""


def within_partitions(table: str, frames: list[pl.DataFrame]) -> list[list[pl.DataFrame]]:
    """Frames of a table in groups that each touch no more partitions than an insert may."""
    if not frames or table not in _PARTITION or sum(f.height for f in frames) <= _MOST_PARTITIONS:
        return [frames] if frames else []
    keys = [frame.select(key=_PARTITION[table]).to_series() for frame in frames]
    distinct = pl.concat(keys).unique().sort()
    if distinct.len() <= _MOST_PARTITIONS:
        return [frames]
    groups = []
    for begin in range(0, distinct.len(), _MOST_PARTITIONS):
        some = distinct[begin : begin + _MOST_PARTITIONS].implode()
        groups.append(
            [frame.filter(key.is_in(some)) for frame, key in zip(frames, keys, strict=True)]
        )
    return groups
