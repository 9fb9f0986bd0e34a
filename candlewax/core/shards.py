"""Shards: shares of an exchange's markets, each with connections, state and a watermark of its own.

Which share a market belongs to follows from its unified symbol alone, so that every process, and
SQL by `CRC32(symbol) % shards`, finds the same one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
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


class ShardError(RuntimeError):
    """Error of data that this process reads but another one has to; the text says what to do."""


@dataclass(frozen=True)
class ShardPlan:
    """Number of shards of each exchange, 1 by default, and those that this process reads.

    `own` holds the indexes by exchange; a process reads all shards of an exchange without any.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def count(self, exchange: str) -> int:
        """Return the number of shards of an exchange."""
        return self.counts.get(exchange, 1)

    def shards(self, exchange: str) -> list[Shard]:
        """Return the shards of an exchange that this process reads."""
        count = self.count(exchange)
        return [Shard(index, count) for index in range(count) if self.owns(exchange, index)]

    def owns(self, exchange: str, index: int) -> bool:
        """Return True if this process reads a shard."""
        return exchange not in self.own or index in self.own[exchange]


WHOLE_EXCHANGES: Final = ShardPlan()
"""Plan by which each exchange is one shard."""
