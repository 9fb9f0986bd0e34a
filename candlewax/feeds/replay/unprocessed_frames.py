"""Bytewax source of frames that a killed process received and did not process."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.frame_journal import LEFT_OVER, FrameJournal
from candlewax.core.frames import FROM_DUMP, FROM_REST, FrameBatch, SourceItem
from candlewax.core.schema import FRAMES, SOURCE, Columns, empty
from candlewax.exchanges import EXCHANGES
from candlewax.runtime.errors import log_failures

RECENT_S: Final = 10
"""Seconds within which frames, dead letters and trades of one block are stored."""

_COLUMNS: Final[Columns] = {**FRAMES, **SOURCE}

_PLACE: Final = ("source", "source_partition", "source_offset", "recv_ns")

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


# Of an exchange whose frames name no market: the channels of a connection may have changed between
# two unprocessed frames, and each frame between them has a number.
_SINCE: Final = """
SELECT toUnixTimestamp64Micro(received_at) * 1000 + received_ns AS recv_ns,
    toString(connection) AS connection, source_offset AS seq, frame, toString(source) AS source,
    source_partition, source_offset
FROM bronze_frames FINAL
WHERE exchange = {exchange:String}
    AND received_at >= fromUnixTimestamp64Micro(intDiv({first:Int64}, 1000), 'UTC')
    AND NOT startsWith(connection, {rest:String}) AND NOT startsWith(connection, {dump:String})
ORDER BY received_at, received_ns, bronze_frames.connection, bronze_frames.source, source_partition,
    source_offset
"""

_STORED: Final = """
SELECT toString(connection) AS connection, source_offset AS seq,
    toUnixTimestamp64Micro(received_at) * 1000 + received_ns AS recv_ns
FROM bronze_frames
WHERE exchange = {exchange:String}
    AND received_at >= fromUnixTimestamp64Micro(intDiv({first:Int64}, 1000), 'UTC')
    AND received_at <= fromUnixTimestamp64Micro(intDiv({last:Int64}, 1000), 'UTC')
"""


@log_failures
class _UnprocessedFramePartition(StatefulSourcePartition[SourceItem, None]):
    def __init__(
        self,
        database: Database,
        exchanges: Iterable[str],
        journal: FrameJournal | None,
        on_end: Callable[[], None],
        is_own: Callable[[str, str], bool],
    ) -> None:
        self._is_own = is_own
        self._on_end = on_end
        self._database = database
        self._exchanges = exchanges
        self._journal = journal
        self._done = False

    def next_batch(self) -> Iterable[SourceItem]:
        if self._done:
            self._on_end()
            raise StopIteration
        self._done = True
        unprocessed = (
            (exchange, self._select_own(exchange, read_unprocessed(self._database, exchange)))
            for exchange in self._exchanges
        )
        # All in the first batch, so that they precede newly received frames.
        batches = [
            FrameBatch(exchange, frames, processed=self._read_processed(exchange, frames))
            for exchange, frames in unprocessed
            if frames.height
        ]
        return batches + self._read_journal()

    def _read_processed(self, exchange: str, unprocessed: pl.DataFrame) -> pl.DataFrame | None:
        """Return the stored frames since the first of these that are none of them, if needed."""
        if EXCHANGES[exchange].channels is None:
            return None
        return read_processed(self._database, exchange, unprocessed)

    def _select_own(self, exchange: str, frames: pl.DataFrame) -> pl.DataFrame:
        """Return the frames of connections whose markets this process reads."""
        names = frames["connection"].unique()
        own = [name for name in names if self._is_own(exchange, name)]
        return frames if len(own) == len(names) else frames.filter(pl.col("connection").is_in(own))

    def _read_journal(self) -> list[FrameBatch]:
        """Return the frames of the journal that are not stored."""
        if self._journal is None:
            return []
        left_over = self._journal.read_left_over()
        own = left_over.filter(pl.col("exchange").is_in(list(self._exchanges)))
        parts = [
            drop_stored(self._database, exchange, own.filter(exchange=exchange))
            for exchange in own["exchange"].unique(maintain_order=True)
        ]
        if own.height == left_over.height:
            # Else the files stay for a process of the other exchanges.
            self._journal.await_frames(pl.concat([empty(LEFT_OVER), *parts]))
        return [
            FrameBatch(part["exchange"][0], part.select(*FRAMES)) for part in parts if part.height
        ]

    def snapshot(self) -> None:
        return None


def read_unprocessed(database: Database, exchange: str) -> pl.DataFrame:
    """Return recently stored frames whose trades or dead letters are not stored.

    Output: FRAMES and SOURCE of one exchange, in the order of receipt.
    """
    frames = database.query(_UNPROCESSED, {"exchange": exchange, "recent": RECENT_S})
    return frames.cast(_COLUMNS)  # type: ignore[arg-type]  # names to types


def read_processed(database: Database, exchange: str, unprocessed: pl.DataFrame) -> pl.DataFrame:
    """Return the stored websocket frames since the first of `unprocessed` that are none of them.

    Output: FRAMES and SOURCE of one exchange, in the order of receipt.
    """
    parameters = {
        "exchange": exchange,
        "first": unprocessed["recv_ns"].min(),
        "rest": FROM_REST,
        "dump": FROM_DUMP,
    }
    stored = database.query(_SINCE, parameters).cast(_COLUMNS)  # type: ignore[arg-type]  # names to types
    return stored.join(unprocessed, on=_PLACE, how="anti", maintain_order="left")


def drop_stored(database: Database, exchange: str, frames: pl.DataFrame) -> pl.DataFrame:
    """Return the frames (LEFT_OVER) of an exchange that are not in `bronze_frames`."""
    span = frames.select(
        pl.col("recv_ns").min().alias("first"), pl.col("recv_ns").max().alias("last")
    )
    first, last = span.row(0)
    stored = database.query(_STORED, {"exchange": exchange, "first": first, "last": last})
    keys = {"connection": pl.String, "seq": pl.UInt64, "recv_ns": pl.Int64}
    return frames.join(stored.cast(keys), on=list(keys), how="anti", maintain_order="left")  # type: ignore[arg-type]  # names to types


class UnprocessedFrameSource(FixedPartitionedSource[SourceItem, None]):
    """Source of the frames that a killed process received and did not process.

    Frames are stored before their trades, and a websocket repeats nothing. What was received and
    not stored is in the journal, if there is one.

    Delivery: at least once, if the next process starts before another one has stored frames of the
    exchange for RECENT_S. Unit of parallelism: one partition.
    """

    def __init__(
        self,
        database: Database,
        exchanges: Sequence[str],
        journal: FrameJournal | None = None,
        is_own: Callable[[str, str], bool] = lambda *_: True,
    ) -> None:
        """`is_own` returns True if this process reads the markets of an exchange's connection."""
        self._database = database
        self._exchanges = exchanges
        self._journal = journal
        self._is_own = is_own
        self.is_pending = False
        """True while the process has frames to emit; received ones must wait until it is False."""

    def list_parts(self) -> list[str]:
        return ["leftover"]

    def build_part(
        self, step_id: str, for_part: str, resume_state: None
    ) -> _UnprocessedFramePartition:
        self.is_pending = True
        return _UnprocessedFramePartition(
            self._database, self._exchanges, self._journal, self._on_emitted, self._is_own
        )

    def _on_emitted(self) -> None:
        self.is_pending = False
