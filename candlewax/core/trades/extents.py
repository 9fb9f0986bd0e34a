"""What a batch of numbered trades holds of each symbol, at a glance.

Pure functions over frames.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

import polars as pl

_FEW: Final = 300
"""Trades that are sooner looked at one by one."""


class Extent(NamedTuple):
    """The numbers of a symbol in a batch: the lowest and the highest with the times of their
    trades, how many rows there are and how many numbers, the times of the earliest and of the
    latest trade (all in microseconds since 1970), and whether the numbers never fall.
    """

    symbol: str
    least: int
    most: int
    begin: int
    end: int
    rows: int
    distinct: int
    earliest: int
    latest: int
    ascending: bool

    @property
    def whole(self) -> bool:
        """Whether the numbers follow each other, each once."""
        return self.ascending and self.rows == self.distinct == self.most - self.least + 1


def extents(keys: pl.DataFrame) -> Iterable[Extent]:
    """Yield the extent of each symbol. In: symbol, sequence and timestamp of TRADES."""
    return _few_extents(keys) if keys.height <= _FEW else _many_extents(keys)


def _many_extents(keys: pl.DataFrame) -> Iterable[Extent]:
    number, time = pl.col("sequence"), pl.col("timestamp").cast(pl.Int64)
    found = keys.group_by("symbol").agg(
        symbol_text=pl.col("symbol").first().cast(pl.String),
        least=number.min(),
        most=number.max(),
        begin=time.get(number.arg_min()),
        end=time.get(number.arg_max()),
        rows=pl.len(),
        distinct=number.n_unique(),
        earliest=time.min(),
        latest=time.max(),
        ascending=~(number < number.shift(1)).any(),
    )
    return (Extent(*row) for row in found.drop("symbol").iter_rows())


def _few_extents(keys: pl.DataFrame) -> Iterable[Extent]:
    """Yield the same of a few trades, for which a query costs more than a look at each."""
    symbols = keys["symbol"].cast(pl.String).to_list()
    times = keys["timestamp"].cast(pl.Int64).to_list()
    found: dict[str, list[tuple[int, int]]] = {}
    for symbol, number, time in zip(symbols, keys["sequence"].to_list(), times, strict=True):
        found.setdefault(symbol, []).append((number, time))
    for symbol, trades in found.items():
        numbers, moments = zip(*trades, strict=True)
        at = dict(reversed(trades))
        least, most = min(at), max(at)
        ascending = all(a <= b for a, b in pairwise(numbers))
        yield Extent(
            symbol, least, most, at[least], at[most], len(trades), len(at),
            min(moments), max(moments), ascending,
        )  # fmt: skip
