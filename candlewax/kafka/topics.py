"""The topics of a broker: their names, and where in them an exchange's messages lie."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from candlewax.exchanges import EXCHANGES

_ALL: Final = "market.crypto.trades"

NORMALIZED: Final = f"{_ALL}.normalized"
DEAD_LETTERS: Final = f"{_ALL}.dlq"

_HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * _HOUR_MS

RAW_RETENTION_MS: Final = 7 * DAY_MS

MOST_BYTES: Final = 16 << 20
"""Of a message; no exchange sends frames nearly as long."""


def raw(exchange: str) -> str:
    """The topic of an exchange's frames."""
    return f"{_ALL}.{exchange}.raw"


def raw_partition(connection: str, count: int) -> int:
    """The partition of a connection's frames: their order stays."""
    return crc32(connection.encode()) % count


def normalized_partition(exchange: str, count: int) -> int:
    """The partition of an exchange's trades: all of them lie in one, so that whoever
    reads it meets them in the order in which they were first told apart, and knows
    from them alone how far the exchange's time has come.
    """
    return list(EXCHANGES).index(exchange) % count


@dataclass(frozen=True)
class Topic:
    """A topic to be created."""

    name: str
    partitions: int
    retention_ms: int


def wanted(exchanges: Iterable[str], raw_partitions: int, normalized: int) -> list[Topic]:
    """All topics that these exchanges need."""
    frames = [Topic(raw(exchange), raw_partitions, RAW_RETENTION_MS) for exchange in exchanges]
    return [
        *frames,
        Topic(NORMALIZED, normalized, 48 * _HOUR_MS),
        Topic(DEAD_LETTERS, 1, 30 * DAY_MS),
    ]
