"""Shards: shares of an exchange's markets, each with connections, state and a watermark of its own.

Which share a market belongs to follows from its unified symbol alone, so that every process, and
SQL by `CRC32(symbol) % shards`, finds the same one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Final
from zlib import crc32

import polars as pl

_NAME: Final = re.compile(r"-(\d{1,4})of(\d{1,4})-\d+b?")
"""End of the name of a connection to the markets of one shard."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Share `index` of the `count` shares of an exchange's markets."""

    index: int = 0
    count: int = 1

    def overlaps(self, other: "Shard") -> bool:
        """Return True if a market can belong to both shards."""
        return (self.index - other.index) % gcd(self.count, other.count) == 0

    def parameters(self) -> dict[str, int]:
        """Return the parameters of queries that read the markets of this shard."""
        return {"shard": self.index, "shards": self.count}


WHOLE: Final = Shard()
"""All markets of an exchange."""


def shard_columns(shard: Shard) -> Iterator[pl.Expr]:
    """Yield the columns `shards` and `shard` of rows of a table with shards."""
    count = 0 if shard == WHOLE else shard.count
    yield pl.lit(count, pl.UInt16).alias("shards")
    yield pl.lit(shard.index, pl.UInt16).alias("shard")


@lru_cache(maxsize=65_536)
def shard_index(symbol: str, count: int) -> int:
    """Return the index of the shard, of `count`, that a unified symbol belongs to."""
    return crc32(symbol.encode()) % count


def connection_name(exchange: str, shard: Shard, number: int) -> str:
    """Return the name of a connection to the markets of a shard."""
    share = "" if shard == WHOLE else f"-{shard.index}of{shard.count}"
    return f"{exchange}{share}-{number}"


@lru_cache(maxsize=4_096)
def shard_of_connection(name: str) -> Shard:
    """Return the shard that all frames of a websocket connection belong to, as its name says."""
    found = _NAME.search(name)
    if not found or found.end() < len(name):
        return WHOLE
    shard = Shard(int(found[1]), int(found[2]))
    return shard if shard.index < shard.count else WHOLE
