"""Ids of trades without sequence numbers, for deduplication.

Pure functions over frames.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US

ID_RETENTION: Final = timedelta(days=1, microseconds=2 * ALLOWED_LATENESS_US)
"""Time behind the latest trade for which ids are kept: that of the longest candle, and then for as
long as it may change."""

_CHUNK_ROWS: Final = 20_000
"""Ids in a chunk, about. A chunk is dropped whole when it is old."""

_IDENTITY: Final = ("symbol", "timestamp", "trade_id")


def add_ids(keys: pl.DataFrame, chunks: list[pl.DataFrame]) -> pl.Series:
    """Add the ids of trades to the chunks. Return the places of duplicates.

    In: place, symbol, trade_id and timestamp of trades; chunks of symbol (String), trade_id
    (String) and timestamp.
    """
    if keys.is_empty():
        return pl.Series(dtype=pl.UInt32)
    keys = keys.with_columns(pl.col("symbol").cast(pl.String))
    first, last = keys["timestamp"].min(), keys["timestamp"].max()
    is_known = ~keys.select(pl.struct(_IDENTITY).is_first_distinct()).to_series()
    for chunk in chunks:
        if chunk["timestamp"].max() >= first and chunk["timestamp"].min() <= last:  # type: ignore[operator]
            marked = chunk.select(*_IDENTITY, seen=pl.lit(True))
            is_seen = keys.join(marked, on=_IDENTITY, how="left", maintain_order="left")["seen"]
            is_known |= is_seen.fill_null(False)
    _append(keys.filter(~is_known).select(_IDENTITY), chunks)
    return keys["place"].filter(is_known)


def _append(keys: pl.DataFrame, chunks: list[pl.DataFrame]) -> None:
    if keys.is_empty():
        return
    if chunks and chunks[-1].height < _CHUNK_ROWS:
        keys = pl.concat([chunks.pop(), keys])
    chunks.append(keys)


def drop_expired(chunks: list[pl.DataFrame], latest_us: int) -> list[pl.DataFrame]:
    """Return the chunks that an open candle may need.

    `latest_us`: time of the latest trade, in microseconds since 1970.
    """
    oldest_us = latest_us - ID_RETENTION // timedelta(microseconds=1)
    return [
        chunk
        for chunk in chunks
        if chunk.select(pl.col("timestamp").max().cast(pl.Int64)).item() >= oldest_us
    ]
