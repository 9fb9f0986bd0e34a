"""Rows: a frame, a trade, and what is wrong with one."""

from collections.abc import Mapping
from typing import NamedTuple


class Frame(NamedTuple):
    """One frame of an exchange, as in FRAMES and SOURCE; `recv_ns` in nanoseconds since 1970."""

    recv_ns: int
    connection: str
    seq: int
    text: str
    source: str
    source_partition: int
    source_offset: int


class Trade(NamedTuple):
    """One trade in unified terms, as in TRADES, of a known exchange.

    Times are in microseconds since 1970, `price` and `quantity` in units of 10^-12,
    `quote_volume` in units of 10^-18. `row` is the place of its frame in its batch. `vendor` holds
    the native fields that have no column.
    """

    row: int
    symbol: str
    native_symbol: str
    base: str
    quote: str
    trade_id: str
    sequence: int
    timestamp: int
    side: int
    price: int
    quantity: int
    quote_volume: int
    condition: str | None
    received_at: int
    source: str
    source_partition: int
    source_offset: int
    source_index: int
    via: int
    numbering: int
    vendor: Mapping[str, str]


class Fault(NamedTuple):
    """Fault of one trade of a frame, or of the whole frame (`source_index` 0)."""

    row: int
    source_index: int
    reason: str
    detail: str


class DeadLetter(NamedTuple):
    """A frame that holds no good trade, or one bad trade of a frame, as in DEAD_LETTERS."""

    row: int
    source_index: int
    scope: int
    reason: str
    detail: str
