"""Topics of the broker: names, partitions and retention."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from zlib import crc32

from candlewax.core.shards import WHOLE, Shard
from candlewax.exchanges import EXCHANGES

_ALL: Final = "market.crypto.trades"

NORMALIZED: Final = f"{_ALL}.normalized"
DEAD_LETTERS: Final = f"{_ALL}.dlq"

_HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * _HOUR_MS

RAW_RETENTION_MS: Final = 7 * DAY_MS

MAX_MESSAGE_BYTES: Final = 16 << 20
"""Greatest size of a message; the frames of all exchanges are far smaller."""


def raw(exchange: str) -> str:
    """Return the topic of an exchange's frames."""
    return f"{_ALL}.{exchange}.raw"


def raw_partition(connection: str, count: int, shard: Shard | None = WHOLE) -> int:
    """Return the partition of a connection's frames, one for all of them to keep their order.

    Connections to the markets of one shard share a partition. `shard` is None for a connection
    to markets of several shards.
    """
    if shard is None or shard == WHOLE:
        return crc32(connection.encode()) % count
    return shard.index % count


def normalized_partition(exchange: str, count: int, shard: Shard = WHOLE) -> int:
    """Return the partition of a shard's trades.

    All trades of a shard are in one partition. So a consumer reads them in the order in which
    they were deduplicated, and can follow the shard's watermark from them alone.
    """
    return (list(EXCHANGES).index(exchange) + shard.index) % count


@dataclass(frozen=True)
class Topic:
    """A topic to create."""

    name: str
    partitions: int
    retention_ms: int


def required_topics(
    exchanges: Iterable[str],
    raw_partitions: int,
    normalized_partitions: int,
    shards: Mapping[str, int] = MappingProxyType({}),
) -> list[Topic]:
    """Return all topics that these exchanges need; `shards` by exchange, of those with several."""
    frames = [
        Topic(raw(exchange), max(raw_partitions, shards.get(exchange, 1)), RAW_RETENTION_MS)
        for exchange in exchanges
    ]
    return [
        *frames,
        Topic(NORMALIZED, normalized_partitions, 48 * _HOUR_MS),
        Topic(DEAD_LETTERS, 1, 30 * DAY_MS),
    ]
