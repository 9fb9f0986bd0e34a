"""Bytewax source of frames that a killed process stored without their trades."""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.clickhouse.client import Database
from candlewax.core.frames import FrameBatch, SourceItem
from candlewax.core.schema import FRAMES, SOURCE, Columns
from candlewax.runtime.errors import log_failures

RECENT_S: Final = 10
"""Seconds within which frames, dead letters and trades of one block are stored."""

_COLUMNS: Final[Columns] = {**FRAMES, **SOURCE}

# Trades and dead letters are stored after their frame. The text is read only of frames that match.
# If all trades of a frame are duplicates, no table shows that it was processed, so it matches too:
# reading it again changes nothing.
_UNPROCESSED: Final = """
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
class _UnprocessedFramePartition(StatefulSourcePartition[SourceItem, None]):
    def __init__(self, database: Database, exchanges: Iterable[str]) -> None:
        self._database = database
        self._exchanges = exchanges
        self._done = False

    def next_batch(self) -> Iterable[SourceItem]:
        if self._done:
            raise StopIteration
        self._done = True
        unprocessed = (
            (exchange, read_unprocessed(self._database, exchange)) for exchange in self._exchanges
        )
        # All in the first batch, so that they precede newly received frames.
        return [FrameBatch(exchange, frames) for exchange, frames in unprocessed if frames.height]

    def snapshot(self) -> None:
        return None


def read_unprocessed(database: Database, exchange: str) -> pl.DataFrame:
    """Return recently stored frames whose trades or dead letters are not stored.

    Output: FRAMES and SOURCE of one exchange, in the order of receipt.
    """
    frames = database.query(_UNPROCESSED, {"exchange": exchange, "recent": RECENT_S})
    return frames.cast(_COLUMNS)  # type: ignore[arg-type]  # names to types


class UnprocessedFrameSource(FixedPartitionedSource[SourceItem, None]):
    """Source of the frames that a killed process stored and did not process.

    Frames are stored before their trades, and a websocket repeats nothing.

    Delivery: at least once, if the next process starts before another one has stored frames of the
    exchange for RECENT_S. Unit of parallelism: one partition.
    """

    def __init__(self, database: Database, exchanges: Sequence[str]) -> None:
        self._database = database
        self._exchanges = exchanges

    def list_parts(self) -> list[str]:
        return ["leftover"]

    def build_part(
        self, step_id: str, for_part: str, resume_state: None
    ) -> _UnprocessedFramePartition:
        return _UnprocessedFramePartition(self._database, self._exchanges)
