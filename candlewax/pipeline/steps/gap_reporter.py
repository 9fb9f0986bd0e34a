"""Says what of an exchange was not seen: rows of `gaps` and `outages`."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from candlewax.clickhouse.state.gap_reader import GapReader
from candlewax.core.gaps.sequence_ranges import RangeChange
from candlewax.core.schema import GAP_REPAIRED, GAPS, TIME, empty
from candlewax.core.trades.decode import Decoded
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.runtime.counters import Counters

_OUTAGE: Final = pl.col("began", "ended").cast(TIME)


class GapReporter:
    """Follows one exchange, from what its tables say on.

    They are asked in any case: a process that has stopped since its memory was saved may
    have found gaps in batches that were cut otherwise, and what it found is to be
    followed to its end.
    """

    def __init__(self, unseen: GapReader, tally: Counters, *, resumed: bool) -> None:
        """`resumed` tells whether the ledger is one that was saved."""
        self._unseen = unseen
        self._tally = tally
        self._resumed = resumed
        self._begun = False
        self._first = empty(GAPS)

    def restore(self, exchange: str, ledger: Deduplicator) -> None:
        """Take over what is open, before anything is put into the ledger."""
        if self._begun:
            return
        self._begun = True
        if not self._resumed:
            ledger.connections = self._unseen.read_connections(exchange)
        stored = self._unseen.read_open_gaps(exchange)
        holes = ledger.gaps.restore(stored, ledger.numbered, may_replay=self._resumed)
        found = ledger.gaps.open_gaps(holes, self._unseen.read_detections(exchange, holes))
        self._first = ledger.gaps.refresh(exchange, ledger.numbered, found)
        self._tally.increment(len(found), "gaps", exchange, "found")
        self._gauge(exchange, ledger)

    def rows_for(
        self,
        ledger: Deduplicator,
        changes: Mapping[str, RangeChange],
        decoded: Decoded,
        trades: pl.DataFrame,
    ) -> dict[str, pl.DataFrame]:
        """The rows of a batch whose new trades (TRADES with `row`) are admitted; none of
        a table to which nothing is added.
        """
        exchange, bronze, before = decoded.exchange, decoded.bronze, ledger.gaps.count
        tables, first, self._first = {}, self._first, empty(GAPS)
        gaps = ledger.gaps.update(exchange, changes, ledger.numbered, trades, bronze)
        if gaps.height:
            repaired = gaps.filter(pl.col("state") == GAP_REPAIRED).height
            self._tally.increment(ledger.gaps.count - before + repaired, "gaps", exchange, "found")
            self._tally.increment(repaired, "gaps", exchange, "repaired")
            self._gauge(exchange, ledger)
        if gaps.height or first.height:
            tables["gaps"] = pl.concat([first, gaps])
        over = ledger.connections.observe(bronze, decoded.events)
        if over.height:
            self._tally.increment(over.height, "outages", exchange)
            tables["outages"] = over.select(pl.lit(exchange).alias("exchange"), _OUTAGE)
        return tables

    def _gauge(self, exchange: str, ledger: Deduplicator) -> None:
        self._tally.set_gauge(ledger.gaps.count, "open_gaps", exchange)
        self._tally.set_gauge(ledger.gaps.missing, "missing_trades", exchange)
