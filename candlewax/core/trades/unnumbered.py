"""Trades without numbers that have been seen: their ids, as long as a candle is open to change.

Pure functions over frames.
"""

from datetime import timedelta
from typing import Final

import polars as pl

KEPT: Final = timedelta(days=1, minutes=30)
"""How far behind the latest trade the ids of unnumbered trades are kept."""

_CHUNK: Final = 20_000
"""Ids are kept in chunks of about this many, dropped whole when they are old."""

_IDENTITY: Final = ("symbol", "timestamp", "trade_id")


def admit(keys: pl.DataFrame, chunks: list[pl.DataFrame]) -> pl.Series:
    """Return the places of trades already seen, and add the others to the chunks.

    In: place, symbol, trade_id and timestamp of trades; chunks of symbol (String), trade_id
    (String) and timestamp.
    """
    if keys.is_empty():
        return pl.Series(dtype=pl.UInt32)
    keys = keys.with_columns(pl.col("symbol").cast(pl.String))
    first, last = keys["timestamp"].min(), keys["timestamp"].max()
    known = ~keys.select(pl.struct(_IDENTITY).is_first_distinct()).to_series()
    for chunk in chunks:
        if chunk["timestamp"].max() >= first and chunk["timestamp"].min() <= last:  # type: ignore[operator]
            marked = chunk.select(*_IDENTITY, seen=pl.lit(True))
            seen = keys.join(marked, on=_IDENTITY, how="left", maintain_order="left")["seen"]
            known |= seen.fill_null(False)
    _remember(keys.filter(~known).select(_IDENTITY), chunks)
    return keys["place"].filter(known)


def _remember(keys: pl.DataFrame, chunks: list[pl.DataFrame]) -> None:
    if keys.is_empty():
        return
    if chunks and chunks[-1].height < _CHUNK:
        keys = pl.concat([chunks.pop(), keys])
    chunks.append(keys)


def recent(chunks: list[pl.DataFrame], latest: int) -> list[pl.DataFrame]:
    """Return the chunks that an open candle may need; `latest` is the time of the latest trade,
    in microseconds since 1970.
    """
    oldest = latest - KEPT // timedelta(microseconds=1)
    return [
        chunk
        for chunk in chunks
        if chunk.select(pl.col("timestamp").max().cast(pl.Int64)).item() >= oldest
    ]
