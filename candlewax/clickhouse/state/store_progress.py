"""How far another process has stored what it sent."""

import logging
import time
from collections.abc import Callable
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database

_REACHED: Final = """
SELECT source, source_partition, max(source_offset) AS reached
FROM silver_trades
WHERE exchange = {exchange:String}
GROUP BY source, source_partition
"""

SETTLE: Final = 0.1
"""Seconds in which rows of one insert become visible."""

_PATIENCE: Final = 30.0
"""Seconds that whoever stores the trades has for storing those it has sent."""

_log: Final = logging.getLogger(__name__)

_Place = tuple[str, str, int]
"""An exchange, a source and its partition."""


class StoreProgress:
    """Waits for trades that were sent before they are stored."""

    def __init__(self, database: Database, wait: Callable[[float], object] = time.sleep) -> None:
        self._database = database
        self._wait = wait
        self._reached: dict[_Place, int] = {}
        self._given_up: set[str] = set()

    def wait_for(self, exchange: str, late: pl.DataFrame) -> None:
        """Return when these trades (TRADES) are stored, and so all that were sent before
        them: sent they are a little sooner. Where they never are, nobody waits twice.
        """
        place = ("source", "source_partition")
        ends = {
            (exchange, *at): end
            for *at, end in late.group_by(place).agg(pl.col("source_offset").max()).rows()
        }
        tries = 1 if exchange in self._given_up else int(_PATIENCE / SETTLE)
        for left in reversed(range(tries)):
            if self._stored(exchange, ends):
                self._given_up.discard(exchange)
                return
            if left:
                self._wait(SETTLE)
        if exchange not in self._given_up:
            self._given_up.add(exchange)
            _log.warning("%s: trades that came are not stored; going on without", exchange)

    def _stored(self, exchange: str, ends: dict[_Place, int]) -> bool:
        """Whether each source is stored so far."""

        def reached() -> bool:
            return all(self._reached.get(place, -1) >= end for place, end in ends.items())

        if not reached():
            rows = self._database.query(_REACHED, {"exchange": exchange}, self._wait).rows()
            self._reached |= {(exchange, source, part): end for source, part, end in rows}
        return reached()
