"""Frames that a killed process had stored, but not what they hold, as a source."""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.clickhouse.client import Database
from candlewax.core.frames import FrameBatch, SourceItem
from candlewax.core.schema import FRAMES, SOURCE, Columns
from candlewax.runtime.errors import log_failures

RECENT_S: Final = 10
"""Frames, dead letters and trades of a block are stored within less, in seconds."""

_COLUMNS: Final[Columns] = {**FRAMES, **SOURCE}

# What is stored of a frame is stored after it. Its text is read only of those that are left. Of a
# frame whose trades are all repeats nothing says whether it had dead letters, so it is left, too:
# to read it again changes nothing.
_LEFT: Final = """
WITH
(
    SELECT max(received_at) FROM bronze_frames WHERE exchange = {exchange:String}
) AS latest,
(
    SELECT max(inserted_at) - toIntervalSecond({recent:UInt32}) FROM bronze_frames
    WHERE exchange = {exchange:String} AND received_at > latest - INTERVAL 1 HOUR
) AS since
SELECT toUnixTimestamp64Micro(received_at) * 1000 + received_ns AS recv_ns,
    toString(connection) AS connection, source_offset AS seq, frame, toString(source) AS source,
    source_partition, source_offset
FROM bronze_frames FINAL
WHERE exchange = {exchange:String} AND received_at > latest - INTERVAL 1 HOUR
    AND
    (
        bronze_frames.connection, received_at, bronze_frames.source, source_partition, source_offset
    ) IN
    (
        SELECT connection, received_at, source, source_partition, source_offset
        FROM bronze_frames FINAL
        WHERE exchange = {exchange:String} AND received_at > latest - INTERVAL 1 HOUR
            AND inserted_at >= since AND kind IN ('dead', 'trade')
            AND (toString(kind), source, source_partition, source_offset, received_at) NOT IN
            (
                SELECT 'trade', source, source_partition, source_offset, received_at
                FROM silver_trades
                WHERE exchange = {exchange:String} AND inserted_at >= since
                UNION ALL
                SELECT 'dead', source, source_partition, source_offset, received_at
                FROM dead_letters
                WHERE exchange = {exchange:String} AND inserted_at >= since
            )
    )
ORDER BY received_at, received_ns, bronze_frames.connection, bronze_frames.source, source_partition,
    source_offset
"""


@log_failures
class _Part(StatefulSourcePartition[SourceItem, None]):
    def __init__(self, database: Database, exchanges: Iterable[str]) -> None:
        self._database = database
        self._exchanges = exchanges
        self._done = False

    def next_batch(self) -> Iterable[SourceItem]:
        if self._done:
            raise StopIteration
        self._done = True
        found = ((exchange, left(self._database, exchange)) for exchange in self._exchanges)
        # At once: before anything else has come.
        return [FrameBatch(exchange, frames) for exchange, frames in found if frames.height]

    def snapshot(self) -> None:
        return None


def left(database: Database, exchange: str) -> pl.DataFrame:
    """The frames of an exchange (FRAMES, SOURCE), among those stored last, whose trades or
    dead letters are not stored, in the order they were received.
    """
    found = database.query(_LEFT, {"exchange": exchange, "recent": RECENT_S})
    return found.cast(_COLUMNS)  # type: ignore[arg-type]  # names to types


class UnprocessedFrameSource(FixedPartitionedSource[SourceItem, None]):
    """Emits once more what a process that was killed left behind: frames are stored before
    what they hold, and a websocket repeats nothing.

    Unit of parallelism: one partition. Delivery: at least once, as long as the next process
    begins before any other stores frames of the exchange for RECENT_S.
    """

    def __init__(self, database: Database, exchanges: Sequence[str]) -> None:
        self._database = database
        self._exchanges = exchanges

    def list_parts(self) -> list[str]:
        return ["leftover"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Part:
        return _Part(self._database, self._exchanges)
