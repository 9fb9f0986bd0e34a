"""Progress of the process that stores the trades of the normalized topic."""

import logging
import time
from collections.abc import Callable
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.shards import WHOLE, Shard

_STORED_OFFSETS: Final = """
SELECT source, source_partition, max(source_offset) AS reached
FROM silver_trades
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
GROUP BY source, source_partition
"""

SETTLE_S: Final = 0.1
"""Seconds within which the rows of an insert become visible."""

_TIMEOUT_S: Final = 30.0
"""Seconds to wait until the other process has stored the trades that it sent."""

_log: Final = logging.getLogger(__name__)

_Partition = tuple[str, str, int]
"""An exchange, a source and its partition."""


class StoreProgress:
    """Wait for another process to store trades that this process has received from it."""

    def __init__(
        self,
        database: Database,
        wait: Callable[[float], object] = time.sleep,
        shard: Shard = WHOLE,
    ) -> None:
        self._database = database
        self._wait = wait
        self._shard = shard
        self._stored_offsets: dict[_Partition, int] = {}
        self._timed_out: set[str] = set()

    def wait_until_stored(self, exchange: str, late: pl.DataFrame) -> None:
        """Return when these trades (TRADES) are stored, and with them all that were sent before.

        The other process sends trades a little before it stores them. After a timeout, log it
        and return; later calls for the exchange then check only once.
        """
        partition = ("source", "source_partition")
        ends = {
            (exchange, *key): end
            for *key, end in late.group_by(partition).agg(pl.col("source_offset").max()).rows()
        }
        tries = 1 if exchange in self._timed_out else int(_TIMEOUT_S / SETTLE_S)
        for tries_left in reversed(range(tries)):
            if self._are_stored(exchange, ends):
                self._timed_out.discard(exchange)
                return
            if tries_left:
                self._wait(SETTLE_S)
        if exchange not in self._timed_out:
            self._timed_out.add(exchange)
            _log.warning("%s: received trades are not stored yet; going on without them", exchange)

    def _are_stored(self, exchange: str, ends: dict[_Partition, int]) -> bool:
        """Return True if each partition is stored up to its end."""

        def are_reached() -> bool:
            return all(self._stored_offsets.get(key, -1) >= end for key, end in ends.items())

        if not are_reached():
            markets = {"exchange": exchange, **self._shard.parameters()}
            rows = self._database.query(_STORED_OFFSETS, markets, self._wait).rows()
            self._stored_offsets |= {(exchange, source, part): end for source, part, end in rows}
        return are_reached()
