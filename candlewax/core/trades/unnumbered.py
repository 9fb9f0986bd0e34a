"""Ids of trades without sequence numbers, for deduplication.

A trade is known if a known one of its symbol has its id and about its time. Ids are the exchange's
own, whose times may differ between its interfaces, or made of the content, their time included.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US
from candlewax.core.schema import TIME, Columns

ID_RETENTION: Final = timedelta(days=1, microseconds=2 * ALLOWED_LATENESS_US)
"""Time behind the latest trade for which ids are kept: that of the longest candle, and then for as
long as it may change."""

SAME_TRADE: Final = timedelta(seconds=1)
"""Greatest difference between two times that an exchange gives for the same trade: some cut them to
the second over REST."""

SAME_TRADE_US: Final = SAME_TRADE // timedelta(microseconds=1)

_CHUNK_ROWS: Final = 20_000
"""Ids in a chunk, about, and in the dictionary of the newest. A chunk is dropped whole when it is
old."""

_IDENTITY: Final = ("symbol", "trade_id")
_COLUMNS: Final = (*_IDENTITY, "timestamp")


class _Chunk(NamedTuple):
    """Ids (symbol, trade_id, timestamp) with their first and last time."""

    keys: pl.DataFrame
    begin_us: int
    end_us: int


def _chunk(keys: pl.DataFrame) -> _Chunk:
    times = keys.select(
        begin=pl.col("timestamp").min().cast(pl.Int64), end=pl.col("timestamp").max().cast(pl.Int64)
    )
    return _Chunk(keys, *times.row(0))


TradeKey = tuple[str, str, int]
"""Symbol, id and time (microseconds since 1970) of a trade."""


class KnownIds:
    """Ids of the unnumbered trades of one exchange.

    They are kept in chunks of columns, in which many trades are looked up at once. Few trades at a
    time are looked up in a dictionary of the newest ones.
    """

    def __init__(self, chunks: Iterable[pl.DataFrame] = (), since_us: int = 0) -> None:
        """`chunks`: frames of symbol (String), trade_id (String) and timestamp. `since_us`: time
        since which all ids are kept, in microseconds since 1970.
        """
        self.since_us = since_us
        self._chunks = [_chunk(keys) for keys in chunks if keys.height]
        self._unpacked: list[TradeKey] = []
        # Times by symbol and id of all known trades from `_recent_since_us` on.
        self._recent: dict[tuple[str, str], list[int]] = {}
        self._latest_us = max((chunk.end_us for chunk in self._chunks), default=0)
        self._recent_since_us = self._latest_us + 1

    @property
    def chunks(self) -> list[pl.DataFrame]:
        """Return all ids, as the constructor takes them."""
        self._pack()
        return [chunk.keys for chunk in self._chunks]

    def add(self, keys: pl.DataFrame) -> pl.Series:
        """Add the ids of trades, in the order received. Return the places of duplicates.

        In: place (UInt32), symbol, trade_id and timestamp of trades.
        """
        if keys.is_empty():
            return pl.Series(dtype=pl.UInt32)
        self._pack()
        keys = keys.with_columns(pl.col("symbol").cast(pl.String))
        begin_us, end_us = _chunk(keys)[1:]
        near = [
            chunk.keys
            for chunk in self._chunks
            if chunk.end_us + SAME_TRADE_US >= begin_us and chunk.begin_us - SAME_TRADE_US <= end_us
        ]
        known = find_known(keys, near)
        new = keys.filter(~pl.col("place").is_in(known.implode())) if known.len() else keys
        repeated = _find_repeated(new)
        if repeated.len():
            new = new.filter(~pl.col("place").is_in(repeated.implode()))
        self._append(new.select(_COLUMNS))
        self._start_recent()
        return pl.concat([known, repeated])

    def add_few(self, trades: Sequence[TradeKey]) -> list[bool]:
        """Add the ids of a few trades, in the order received. Return which are new."""
        if min(time_us for *_, time_us in trades) - SAME_TRADE_US < self._recent_since_us:
            return self._add_as_columns(trades)
        is_new = []
        for symbol, trade_id, time_us in trades:
            times = self._recent.setdefault((symbol, trade_id), [])
            is_new.append(all(abs(time_us - other_us) > SAME_TRADE_US for other_us in times))
            if is_new[-1]:
                times.append(time_us)
                self._unpacked.append((symbol, trade_id, time_us))
                self._latest_us = max(self._latest_us, time_us)
        if len(self._recent) > _CHUNK_ROWS:
            self._pack()
            self._start_recent()
        return is_new

    def _add_as_columns(self, trades: Sequence[TradeKey]) -> list[bool]:
        known, since_us = self._recent, self._recent_since_us
        keys = _columns(trades).with_row_index("place")
        duplicates = set(self.add(keys))
        is_new = [place not in duplicates for place in range(len(trades))]
        # The dictionary is still complete, as these are few.
        self._recent, self._recent_since_us = known, since_us
        for (symbol, trade_id, time_us), one_is_new in zip(trades, is_new, strict=True):
            if one_is_new:
                known.setdefault((symbol, trade_id), []).append(time_us)
        return is_new

    def _start_recent(self) -> None:
        """Begin the dictionary anew behind all known trades."""
        self._recent, self._recent_since_us = {}, self._latest_us + 1

    def _pack(self) -> None:
        """Put the trades that were added in few into the chunks."""
        if self._unpacked:
            keys, self._unpacked = _columns(self._unpacked), []
            self._append(keys)

    def _append(self, keys: pl.DataFrame) -> None:
        if keys.is_empty():
            return
        if self._chunks and self._chunks[-1].keys.height < _CHUNK_ROWS:
            keys = pl.concat([self._chunks.pop().keys, keys])
        self._chunks.append(_chunk(keys))
        self._latest_us = max(self._latest_us, self._chunks[-1].end_us)

    def expire(self, latest_us: int) -> None:
        """Drop the chunks that no open candle can need.

        `latest_us`: time of the latest trade, in microseconds since 1970.
        """
        oldest_us = latest_us - ID_RETENTION // timedelta(microseconds=1)
        self._chunks = [chunk for chunk in self._chunks if chunk.end_us >= oldest_us]
        self.since_us = max(self.since_us, oldest_us)

    def may_have_expired(self, time_us: int) -> bool:
        """Return whether the id of a trade of a time may have been dropped."""
        return time_us < self.since_us + SAME_TRADE_US

    def copy(self) -> "KnownIds":
        """Return a copy that later changes do not reach."""
        return KnownIds(self.chunks, self.since_us)


def _columns(trades: Sequence[TradeKey]) -> pl.DataFrame:
    schema: Columns = {"symbol": pl.String, "trade_id": pl.String, "timestamp": pl.Int64}
    return pl.DataFrame(trades, schema, orient="row").with_columns(pl.col("timestamp").cast(TIME))


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


def find_known(keys: pl.DataFrame, chunks: Sequence[pl.DataFrame]) -> pl.Series:
    """Return the places of trades whose id and time are those of a trade in the chunks.

    In: place (UInt32), symbol (String), trade_id and timestamp; chunks of the last three.
    """
    places = [pl.Series("place", dtype=pl.UInt32)]
    if keys.height:
        for chunk in chunks:
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
    places = []
    rows = repeated.select("place", *_IDENTITY, pl.col("timestamp").cast(pl.Int64))
    for place, symbol, trade_id, time_us in rows.iter_rows():
        known = times.setdefault((symbol, trade_id), [])
        if any(abs(time_us - other_us) <= SAME_TRADE_US for other_us in known):
            places.append(place)
        else:
            known.append(time_us)
    return pl.Series(places, dtype=pl.UInt32)
