"""Stored gaps, outages and connections of an exchange."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.carrier_reader import OWN_CONNECTION, read_carriers
from candlewax.core.frames import EVENT, FROM_DUMP, FROM_REST
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.gaps.gap_tracker import Detection
from candlewax.core.gaps.market_connections import MarketConnections
from candlewax.core.gaps.numberings import series, split_series
from candlewax.core.gaps.outages import CONNECTED, DISCONNECTED, PROCESS, OutageTracker
from candlewax.core.gaps.sequence_ranges import MissingRange
from candlewax.core.schema import GAPS
from candlewax.core.shards import WHOLE, Shard

Wait = Callable[[float], object]

OVERLAPS: Final = (
    "modulo(toInt64({0}.shard) - {{shard:UInt32}},"
    " gcd(greatest({0}.shards, 1), {{shards:UInt32}})) = 0"
)
"""Condition on rows of a table with shards: those of any market of the parameters' shard."""

_OPEN_GAPS: Final = """
SELECT exchange, symbol, first_sequence, last_sequence, min(missing) AS missing,
    min(before) AS before, max(after) AS after, max(connection) AS connection,
    min(detected_at) AS detected_at, toInt8(max(state)) AS state, numbering
FROM gaps
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
GROUP BY exchange, symbol, first_sequence, last_sequence, numbering
HAVING missing > 0
ORDER BY symbol, first_sequence, last_sequence
"""

_NEIGHBOURS: Final = """
SELECT symbol, numbering, sequence, source, source_partition, source_offset,
    toUnixTimestamp64Micro(received_at) AS at
FROM silver_trades FINAL
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
    AND (symbol, sequence) IN
(
    SELECT pair.1, pair.2
    FROM (SELECT arrayJoin(arrayZip({symbols:Array(String)}, {numbers:Array(UInt64)})) AS pair)
)
"""

_CONNECTION: Final = """
SELECT source, source_partition, source_offset,
    toUnixTimestamp64Micro(received_at) AS at, any(connection) AS connection
FROM bronze_frames
WHERE exchange = {exchange:String} AND (received_at, source_offset) IN
(
    SELECT fromUnixTimestamp64Micro(pair.1, 'UTC'), pair.2
    FROM (SELECT arrayJoin(arrayZip({times:Array(Int64)}, {offsets:Array(UInt64)})) AS pair)
)
GROUP BY source, source_partition, source_offset, received_at
"""

# Frames beyond their retention are gone, so an old connection may have no event left.
_EVENTS: Final = f"""
WITH (received_at, source_offset) AS place
SELECT connection, argMax(JSONExtractString(frame, {{event:String}}), place) AS event,
    argMax(JSONExtractString(frame, {{process:String}}), place) AS process,
    toUnixTimestamp64Micro(max(received_at)) AS at
FROM bronze_frames
WHERE exchange = {{exchange:String}} AND kind = 'control' AND position(frame, {{event:String}}) > 0
    AND JSONExtractString(frame, {{event:String}}) IN {{kinds:Array(String)}}
    AND {OWN_CONNECTION}
GROUP BY connection
ORDER BY connection
"""

_LAST_FRAME: Final = f"""
SELECT toUnixTimestamp64Micro(max(received_at)) AS last_frame FROM bronze_frames
WHERE exchange = {{exchange:String}}
    AND NOT startsWith(connection, {{rest:String}}) AND NOT startsWith(connection, {{dump:String}})
    AND {OWN_CONNECTION}
"""

_OUTAGES: Final = f"""
SELECT toUnixTimestamp64Micro(stored.began) AS began, toUnixTimestamp64Micro(stored.ended) AS ended
FROM outages AS stored FINAL
WHERE exchange = {{exchange:String}} AND {OVERLAPS.format("stored")}
    AND stored.ended >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
ORDER BY began
"""

_HAS_DISCONNECTED: Final = f"""
SELECT count() > 0 AS has_disconnected
FROM bronze_frames
WHERE exchange = {{exchange:String}} AND kind = 'control'
    AND received_at >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
    AND JSONExtractString(frame, {{event:String}}) = {{kind:String}}
    AND {OWN_CONNECTION}
"""

# `received_at` may be too late if our clock ran ahead, so the earlier of both times counts.
_LATEST: Final = """
SELECT toUnixTimestamp64Micro(max(least(timestamp, received_at))) AS latest FROM silver_trades
WHERE exchange = {exchange:String}
    AND modulo(CRC32(symbol), {shards:UInt32}) = {shard:UInt32}
"""

_QUERY_RANGES: Final = 500
"""Missing ranges in one query."""


class GapReader:
    """Reader of the gaps, outages and connections of a shard of an exchange."""

    def __init__(self, database: Database, wait: Wait, shard: Shard = WHOLE) -> None:
        self._database = database
        self._wait = wait
        self._shard = shard

    def read_open_gaps(self, exchange: str) -> pl.DataFrame:
        """Return GAPS with missing trades."""
        return self._query(_OPEN_GAPS, exchange).cast(GAPS)  # type: ignore[arg-type]  # names to types

    def read_detections(
        self, exchange: str, missing: Sequence[tuple[str, MissingRange]]
    ) -> list[Detection]:
        """Return the trade that revealed each missing range (by the name of its series).

        It is the one of the two stored trades beside the range that was received later. Its
        connection is empty if its frame is no longer stored.
        """
        detections: list[Detection] = []
        for begin in range(0, len(missing), _QUERY_RANGES):
            detections += self._query_detections(exchange, missing[begin : begin + _QUERY_RANGES])
        return detections

    def _query_detections(
        self, exchange: str, missing: Sequence[tuple[str, MissingRange]]
    ) -> list[Detection]:
        neighbours = [(name, n) for name, gap in missing for n in (gap.first - 1, gap.last + 1)]
        names, numbers = zip(*neighbours, strict=True)
        symbols = [split_series(name)[0] for name in names]
        rows = self._query(_NEIGHBOURS, exchange, symbols=symbols, numbers=list(numbers))
        trades = {
            (series(symbol, numbering), number): place
            for symbol, numbering, number, *place in rows.iter_rows()
        }
        later = [
            max(
                trades[name, gap.first - 1], trades[name, gap.last + 1], key=lambda place: place[-1]
            )
            for name, gap in missing
        ]
        connections = self._read_connections(exchange, later)
        return [Detection(connections.get(tuple(place), ""), place[-1]) for place in later]

    def _read_connections(
        self, exchange: str, places: Sequence[Sequence[Any]]
    ) -> Mapping[tuple[Any, ...], str]:
        """Return the connections of frames by source, partition, offset and time of receipt."""
        times, offsets = [place[-1] for place in places], [place[-2] for place in places]
        rows = self._query(_CONNECTION, exchange, times=times, offsets=offsets)
        return {tuple(place): connection for *place, connection in rows.iter_rows()}

    def read_connections(self, exchange: str) -> OutageTracker:
        """Return the connections as the events in stored frames show them.

        An outage without a stored trade after it is pending.
        """
        names = {"event": EVENT, "process": PROCESS, "kinds": [CONNECTED, DISCONNECTED]}
        events = self._query(_EVENTS, exchange, **names)
        if events.is_empty():
            return OutageTracker()
        alive = {
            name: process for name, kind, process, _ in events.iter_rows() if kind == CONNECTED
        }
        known_until_us = dict(events.select("connection", "at").iter_rows())
        last_frame_us = self._query(_LAST_FRAME, exchange, rest=FROM_REST, dump=FROM_DUMP).item()
        latest = self._query(_LATEST, exchange).item()
        pending = list(self.read_outages(exchange, latest + 1).iter_rows())
        down_since_us = None if alive else max(known_until_us.values())
        return OutageTracker(alive, down_since_us, last_frame_us, pending, known_until_us)

    def read_carriers(self, exchange: str) -> MarketConnections:
        """Return the connections with the markets they carried, as stored frames show them."""
        return read_carriers(self._query, exchange)

    def is_down(self, exchange: str, since: int) -> bool:
        """Return True if an exchange with a live connection at `since` has none any more.

        `since` is in microseconds since 1970. All events are read only after a disconnection
        since then.
        """
        gone = self._query(_HAS_DISCONNECTED, exchange, since=since, event=EVENT, kind=DISCONNECTED)
        return bool(gone.item()) and self.read_connections(exchange).down_since_us is not None

    def read_outages(self, exchange: str, since: int) -> pl.DataFrame:
        """Return OUTAGES that ended at `since` or later, in microseconds since 1970."""
        return self._query(_OUTAGES, exchange, since=since).cast(OUTAGES)  # type: ignore[arg-type]  # names to types

    def _query(self, sql: str, exchange: str, **parameters: Any) -> pl.DataFrame:  # noqa: ANN401
        markets = {"exchange": exchange, **self._shard.parameters()}
        return self._database.query(sql, {**markets, **parameters}, self._wait)
