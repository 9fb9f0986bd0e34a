"""What the tables say of what was not seen: open gaps, and connections."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.frames import EVENT, FROM_DUMP, FROM_REST
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.gaps.gap_tracker import Detection
from candlewax.core.gaps.numberings import series, split_series
from candlewax.core.gaps.outages import CONNECTED, DISCONNECTED, PROCESS, OutageTracker
from candlewax.core.gaps.sequence_ranges import MissingRange
from candlewax.core.schema import GAPS

Wait = Callable[[float], object]

_OPEN: Final = """
SELECT exchange, symbol, first_sequence, last_sequence, min(missing) AS missing,
    min(before) AS before, max(after) AS after, max(connection) AS connection,
    min(detected_at) AS detected_at, toInt8(max(state)) AS state, numbering
FROM gaps
WHERE exchange = {exchange:String}
GROUP BY exchange, symbol, first_sequence, last_sequence, numbering
HAVING missing > 0
ORDER BY symbol, first_sequence, last_sequence
"""

_BESIDE: Final = """
SELECT symbol, numbering, sequence, source, source_partition, source_offset,
    toUnixTimestamp64Micro(received_at) AS at
FROM silver_trades FINAL
WHERE exchange = {exchange:String} AND (symbol, sequence) IN
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

# Of a connection that was replaced long ago nothing may be left.
_EVENTS: Final = """
WITH (received_at, source_offset) AS place
SELECT connection, argMax(JSONExtractString(frame, {event:String}), place) AS event,
    argMax(JSONExtractString(frame, {process:String}), place) AS process,
    toUnixTimestamp64Micro(max(received_at)) AS at
FROM bronze_frames
WHERE exchange = {exchange:String} AND kind = 'control' AND position(frame, {event:String}) > 0
    AND JSONExtractString(frame, {event:String}) IN {kinds:Array(String)}
GROUP BY connection
ORDER BY connection
"""

_HEARD: Final = """
SELECT toUnixTimestamp64Micro(max(received_at)) AS heard FROM bronze_frames
WHERE exchange = {exchange:String}
    AND NOT startsWith(connection, {rest:String}) AND NOT startsWith(connection, {dump:String})
"""

_OUTAGES: Final = """
SELECT toUnixTimestamp64Micro(stored.began) AS began, toUnixTimestamp64Micro(stored.ended) AS ended
FROM outages AS stored FINAL
WHERE exchange = {exchange:String}
    AND stored.ended >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
ORDER BY began
"""

_GONE: Final = """
SELECT count() > 0 AS gone
FROM bronze_frames
WHERE exchange = {exchange:String} AND kind = 'control'
    AND received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND JSONExtractString(frame, {event:String}) = {kind:String}
"""

# Where our clock was ahead for a while, the exchange's tells which trade came last.
_LATEST: Final = """
SELECT toUnixTimestamp64Micro(max(least(timestamp, received_at))) AS latest FROM silver_trades
WHERE exchange = {exchange:String}
"""

_AT_ONCE: Final = 500
"""How many holes are asked for at once."""


class GapReader:
    """Reads what is stored of an exchange's gaps, outages and connections."""

    def __init__(self, database: Database, wait: Wait) -> None:
        self._database = database
        self._wait = wait

    def open_gaps(self, exchange: str) -> pl.DataFrame:
        """GAPS of which something is missing."""
        return self._query(_OPEN, exchange).cast(GAPS)  # type: ignore[arg-type]  # names to types

    def shown(self, exchange: str, holes: Sequence[tuple[str, MissingRange]]) -> list[Detection]:
        """What showed each hole (by its symbol): of the stored trades beside it the one
        that was received later. Its connection is empty if its frame is no longer stored.
        """
        found: list[Detection] = []
        for begin in range(0, len(holes), _AT_ONCE):
            found += self._shown(exchange, holes[begin : begin + _AT_ONCE])
        return found

    def _shown(self, exchange: str, holes: Sequence[tuple[str, MissingRange]]) -> list[Detection]:
        beside = [(s, n) for s, hole in holes for n in (hole.first - 1, hole.last + 1)]
        names, numbers = zip(*beside, strict=True)
        symbols = [split_series(name)[0] for name in names]
        found = self._query(_BESIDE, exchange, symbols=symbols, numbers=list(numbers))
        trades = {
            (series(symbol, numbering), number): place
            for symbol, numbering, number, *place in found.iter_rows()
        }
        later = [
            max((trades[s, hole.first - 1], trades[s, hole.last + 1]), key=lambda place: place[-1])
            for s, hole in holes
        ]
        connections = self._connections(exchange, later)
        return [Detection(connections.get(tuple(place), ""), place[-1]) for place in later]

    def _connections(
        self, exchange: str, places: Sequence[Sequence[Any]]
    ) -> Mapping[tuple[Any, ...], str]:
        """The connections of frames by source, partition, offset and time of receipt."""
        times, offsets = [place[-1] for place in places], [place[-2] for place in places]
        found = self._query(_CONNECTION, exchange, times=times, offsets=offsets)
        return {tuple(place): connection for *place, connection in found.iter_rows()}

    def connections(self, exchange: str) -> OutageTracker:
        """What the stored frames say of connections; an outage after which no trade is
        stored is still to be told.
        """
        names = {"event": EVENT, "process": PROCESS, "kinds": [CONNECTED, DISCONNECTED]}
        events = self._query(_EVENTS, exchange, **names)
        if events.is_empty():
            return OutageTracker()
        alive = {name: its for name, kind, its, _ in events.iter_rows() if kind == CONNECTED}
        known = dict(events.select("connection", "at").iter_rows())
        heard = self._query(_HEARD, exchange, rest=FROM_REST, dump=FROM_DUMP).item()
        latest = self._query(_LATEST, exchange).item()
        pending = list(self.outages(exchange, latest + 1).iter_rows())
        down = None if alive else max(known.values())
        return OutageTracker(alive, down, heard, pending, known)

    def is_down(self, exchange: str, since: int) -> bool:
        """Whether no connection is alive to an exchange of which one was at a time, in
        microseconds since 1970. All its events are looked at only if one has gone since.
        """
        gone = self._query(_GONE, exchange, since=since, event=EVENT, kind=DISCONNECTED)
        return bool(gone.item()) and self.connections(exchange).down is not None

    def outages(self, exchange: str, since: int) -> pl.DataFrame:
        """OUTAGES that ended at a time or later, in microseconds since 1970."""
        return self._query(_OUTAGES, exchange, since=since).cast(OUTAGES)  # type: ignore[arg-type]  # names to types

    def _query(self, sql: str, exchange: str, **parameters: Any) -> pl.DataFrame:  # noqa: ANN401
        return self._database.query(sql, {"exchange": exchange, **parameters}, self._wait)
