"""Ids of trades without sequence numbers, for deduplication.

A trade is known if a known one of its symbol has its id and about its time. Ids are the exchange's
own, whose times may differ between its interfaces, or made of the content, their time included.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import polars as pl

from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US
from candlewax.core.schema import TIME

ID_RETENTION: Final = timedelta(days=1, microseconds=2 * ALLOWED_LATENESS_US)
"""Time behind the latest trade for which ids are kept: that of the longest candle, and then for as
long as it may change."""

SAME_TRADE: Final = timedelta(seconds=1)
"""Greatest difference between two times that an exchange gives for the same trade: some cut them to
the second over REST."""

_CHUNK_ROWS: Final = 20_000
"""Ids in a chunk, about. A chunk is dropped whole when it is old."""

_IDENTITY: Final = ("symbol", "trade_id")
_COLUMNS: Final = (*_IDENTITY, "timestamp")


@dataclass
class KnownIds:
    """Ids of the unnumbered trades of one exchange.

    `chunks`: frames of symbol (String), trade_id (String) and timestamp. `since_us`: time since
    which all ids are kept, in microseconds since 1970.
    """

    chunks: list[pl.DataFrame] = field(default_factory=list)
    since_us: int = 0

    def add(self, keys: pl.DataFrame) -> pl.Series:
        """Add the ids of trades, in the order received. Return the places of duplicates.

        In: place (UInt32), symbol, trade_id and timestamp of trades.
        """
        if keys.is_empty():
            return pl.Series(dtype=pl.UInt32)
        keys = keys.with_columns(pl.col("symbol").cast(pl.String))
        known = find_known(keys, self.chunks)
        new = keys.filter(~pl.col("place").is_in(known.implode())) if known.len() else keys
        repeated = _find_repeated(new)
        if repeated.len():
            new = new.filter(~pl.col("place").is_in(repeated.implode()))
        self._append(new.select(_COLUMNS))
        return pl.concat([known, repeated])

    def _append(self, keys: pl.DataFrame) -> None:
        if keys.is_empty():
            return
        if self.chunks and self.chunks[-1].height < _CHUNK_ROWS:
            keys = pl.concat([self.chunks.pop(), keys])
        self.chunks.append(keys)

    def expire(self, latest_us: int) -> None:
        """Drop the chunks that no open candle can need.

        `latest_us`: time of the latest trade, in microseconds since 1970.
        """
        oldest_us = latest_us - ID_RETENTION // timedelta(microseconds=1)
        kept = [
            chunk
            for chunk in self.chunks
            if chunk.select(pl.col("timestamp").max().cast(pl.Int64)).item() >= oldest_us
        ]
        self.chunks, self.since_us = kept, max(self.since_us, oldest_us)

    def may_have_expired(self, time_us: int) -> bool:
        """Return whether the id of a trade of a time may have been dropped."""
        return time_us < self.since_us + SAME_TRADE // timedelta(microseconds=1)

    def copy(self) -> "KnownIds":
        """Return a copy that later changes do not reach."""
        return KnownIds(self.chunks[:], self.since_us)


def drop_stored(
    trades: pl.DataFrame,
    is_new: pl.Series,
    known: KnownIds,
    read_ids: Callable[[pl.DataFrame], pl.DataFrame],
) -> pl.Series:
    """Return which trades (TRADES) are new, without stored ones whose ids have expired.

    `read_ids` takes symbol, trade_id and timestamp of trades, and returns the same of stored trades
    with these ids from about these times.
    """
    limit = pl.lit(known.since_us).cast(TIME) + SAME_TRADE
    is_expired = (pl.col("sequence") == 0) & (pl.col("timestamp") < limit)
    places = (is_new & trades.select(is_expired).to_series()).arg_true()
    if places.is_empty():
        return is_new
    keys = trades[places].select(pl.col("symbol").cast(pl.String), "trade_id", "timestamp")
    stored = read_ids(keys)
    return is_new.scatter(find_known(keys.with_columns(place=places), [stored]), False)


def find_known(keys: pl.DataFrame, chunks: list[pl.DataFrame]) -> pl.Series:
    """Return the places of trades whose id and time are those of a trade in the chunks.

    In: place (UInt32), symbol (String), trade_id and timestamp; chunks as in `KnownIds`.
    """
    places = [pl.Series("place", dtype=pl.UInt32)]
    if keys.height:
        first, last = keys["timestamp"].min(), keys["timestamp"].max()
        for chunk in chunks:
            begin, end = chunk["timestamp"].min(), chunk["timestamp"].max()
            if end + SAME_TRADE >= first and begin - SAME_TRADE <= last:  # type: ignore[operator]
                pairs = keys.join(chunk.select(_COLUMNS), on=_IDENTITY, suffix="_known")
                distance = (pl.col("timestamp") - pl.col("timestamp_known")).abs()
                places.append(pairs.filter(distance <= SAME_TRADE)["place"])
    return pl.concat(places).unique()


def _find_repeated(keys: pl.DataFrame) -> pl.Series:
    """Return the places of trades that come a second time among others."""
    is_first = keys.select(pl.struct(_IDENTITY).is_first_distinct()).to_series()
    if is_first.all():
        return pl.Series(dtype=pl.UInt32)
    # Trades of one id that are far apart are different ones.
    repeated = keys.join(keys.filter(~is_first), on=_IDENTITY, how="semi", maintain_order="left")
    times: dict[tuple[str, str], list[int]] = {}
    tolerance_us, places = SAME_TRADE // timedelta(microseconds=1), []
    rows = repeated.select("place", *_IDENTITY, pl.col("timestamp").cast(pl.Int64))
    for place, symbol, trade_id, time_us in rows.iter_rows():
        known = times.setdefault((symbol, trade_id), [])
        if any(abs(time_us - other_us) <= tolerance_us for other_us in known):
            places.append(place)
        else:
            known.append(time_us)
    return pl.Series(places, dtype=pl.UInt32)
