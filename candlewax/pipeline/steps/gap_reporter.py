"""Reporter of gaps and outages of an exchange: rows of `gaps` and `outages`."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.gaps.outages import ConnectionEvent
from candlewax.core.gaps.sequence_ranges import RangeChange
from candlewax.core.schema import GAP_REPAIRED, GAPS, TIME, empty
from candlewax.core.shards import WHOLE, Shard, shard_columns, shard_of_connection
from candlewax.core.trades.decode import DecodedFrames
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges import counts_trades
from candlewax.runtime.counters import Counters

_OUTAGE: Final = pl.col("began", "ended").cast(TIME)


class GapReporter:
    """Reporter of the gaps and outages of one shard of an exchange.

    It always starts from the tables, even with a snapshot: the process before may have stored gaps
    after the snapshot, from other batch boundaries, and these must be followed to their end.
    """

    def __init__(self, state_loader: StateLoader, counters: Counters, *, is_resumed: bool) -> None:
        """`is_resumed`: the deduplicator comes from a snapshot."""
        self._state_loader = state_loader
        self._gap_reader = state_loader.gap_reader
        self._shard = WHOLE
        self._counters = counters
        self._is_resumed = is_resumed
        self._has_started = False
        self._restored_rows = empty(GAPS)

    def use_shard(self, shard: Shard) -> None:
        """Report the gaps and outages of this shard from now on."""
        if shard != self._shard:
            self._shard = shard
            self._gap_reader = self._state_loader.for_shard(shard).gap_reader

    @property
    def has_rows(self) -> bool:
        """True if rows of restored gaps wait for the next batch."""
        return not self._has_started or not self._restored_rows.is_empty()

    def restore(self, exchange: str, deduplicator: Deduplicator) -> None:
        """Load open gaps and connections, before the deduplicator marks any trade."""
        if self._has_started:
            return
        self._has_started = True
        if not self._is_resumed:
            deduplicator.connections = self._gap_reader.read_connections(exchange)
        if not counts_trades(exchange) and not deduplicator.market_connections:
            # A snapshot of an earlier version knows none.
            deduplicator.market_connections = self._gap_reader.read_carriers(exchange)
        stored = self._gap_reader.read_open_gaps(exchange)
        missing_ranges = deduplicator.gaps.restore(
            stored, deduplicator.ranges_by_series, may_replay=self._is_resumed
        )
        new_gaps = deduplicator.gaps.open_gaps(
            missing_ranges, self._gap_reader.read_detections(exchange, missing_ranges)
        )
        self._restored_rows = deduplicator.gaps.refresh(
            exchange, deduplicator.ranges_by_series, new_gaps
        )
        self._counters.increment(len(new_gaps), "gaps", exchange, "found")
        self._set_gauges(exchange, deduplicator)

    def rows_for(
        self,
        deduplicator: Deduplicator,
        changes: Mapping[str, RangeChange],
        decoded: DecodedFrames,
        trades: pl.DataFrame,
    ) -> dict[str, pl.DataFrame]:
        """Return the rows of `gaps` and `outages` of a batch, without tables that get none.

        `trades` are its new trades (TRADES with `row`), already marked in the deduplicator.
        """
        exchange, bronze, open_before = decoded.exchange, decoded.bronze, deduplicator.gaps.count
        tables, restored_rows, self._restored_rows = {}, self._restored_rows, empty(GAPS)
        gaps = deduplicator.gaps.update(
            exchange, changes, deduplicator.ranges_by_series, trades, bronze
        )
        if gaps.height:
            repaired = gaps.filter(pl.col("state") == GAP_REPAIRED).height
            self._counters.increment(
                deduplicator.gaps.count - open_before + repaired, "gaps", exchange, "found"
            )
            self._counters.increment(repaired, "gaps", exchange, "repaired")
            self._set_gauges(exchange, deduplicator)
        if gaps.height or restored_rows.height:
            tables["gaps"] = pl.concat([restored_rows, gaps])
        frames = decoded.connection_frames
        outages = deduplicator.connections.observe(frames, decoded.events)
        if outages.height:
            shard = self._shard_of_outages(frames, decoded.events)
            if shard != WHOLE or not self._shard.index:
                self._counters.increment(outages.height, "outages", exchange)
            columns = pl.lit(exchange).alias("exchange"), _OUTAGE, *shard_columns(shard)
            tables["outages"] = outages.select(*columns)
        return tables

    def _set_gauges(self, exchange: str, deduplicator: Deduplicator) -> None:
        part = self._shard.index
        self._counters.set_gauge(deduplicator.gaps.count, "open_gaps", exchange, part=part)
        self._counters.set_gauge(deduplicator.gaps.missing, "missing_trades", exchange, part=part)

    def _shard_of_outages(self, frames: pl.DataFrame, events: Sequence[ConnectionEvent]) -> Shard:
        """Return this shard if its own connections ended the outages, else all markets."""
        names = {frames["connection"][event.row] for event in events if event.connected}
        is_own = all(shard_of_connection(name) == self._shard for name in names)
        return self._shard if is_own else WHOLE
