"""Extents of the sequence numbers of each symbol in a batch.

Pure functions over frames.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

import polars as pl

_LOOP_TRADES: Final = 300
"""Trades up to which a loop is faster than a query."""


class Extent(NamedTuple):
    """Sequence numbers of a symbol in a batch.

    `lowest` and `highest`: numbers, with the times of their trades in `begin` and `end`. `rows`:
    how many trades; `distinct`: how many numbers. `earliest` and `latest`: times of trades. Times
    are microseconds since 1970. `is_ascending`: the numbers never fall.
    """

    symbol: str
    lowest: int
    highest: int
    begin: int
    end: int
    rows: int
    distinct: int
    earliest: int
    latest: int
    is_ascending: bool

    @property
    def is_whole(self) -> bool:
        """True if the numbers are consecutive, each once."""
        return self.is_ascending and self.rows == self.distinct == self.highest - self.lowest + 1


def extents(keys: pl.DataFrame) -> Iterable[Extent]:
    """Yield the extent of each symbol. In: symbol, sequence and timestamp of TRADES."""
    return _small_batch_extents(keys) if keys.height <= _LOOP_TRADES else _query_extents(keys)


def _query_extents(keys: pl.DataFrame) -> Iterable[Extent]:
    number, time = pl.col("sequence"), pl.col("timestamp").cast(pl.Int64)
    rows = keys.group_by("symbol").agg(
        symbol_text=pl.col("symbol").first().cast(pl.String),
        lowest=number.min(),
        highest=number.max(),
        begin=time.get(number.arg_min()),
        end=time.get(number.arg_max()),
        rows=pl.len(),
        distinct=number.n_unique(),
        earliest=time.min(),
        latest=time.max(),
        is_ascending=~(number < number.shift(1)).any(),
    )
    return (Extent(*row) for row in rows.drop("symbol").iter_rows())


def _small_batch_extents(keys: pl.DataFrame) -> Iterable[Extent]:
    """Yield the same for a small batch, for which a loop costs less than a query."""
    symbols = keys["symbol"].cast(pl.String).to_list()
    times = keys["timestamp"].cast(pl.Int64).to_list()
    by_symbol: dict[str, list[tuple[int, int]]] = {}
    for symbol, number, time in zip(symbols, keys["sequence"].to_list(), times, strict=True):
        by_symbol.setdefault(symbol, []).append((number, time))
    for symbol, trades in by_symbol.items():
        numbers, times_of_symbol = zip(*trades, strict=True)
        time_by_number = dict(reversed(trades))
        lowest, highest = min(time_by_number), max(time_by_number)
        is_ascending = all(a <= b for a, b in pairwise(numbers))
        yield Extent(
            symbol,
            lowest,
            highest,
            time_by_number[lowest],
            time_by_number[highest],
            len(trades),
            len(time_by_number),
            min(times_of_symbol),
            max(times_of_symbol),
            is_ascending,
        )
