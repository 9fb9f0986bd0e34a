"""Bytewax source of `bronze_frames` in the order of receipt."""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.clickhouse.client import Database
from candlewax.core.frames import EVENT, FROM_DUMP, FROM_REST, FrameBatch, SourceItem
from candlewax.core.schema import FRAMES, SOURCE, Columns
from candlewax.exchanges import EXCHANGES
from candlewax.runtime.errors import log_failures

CHUNK_BYTES: Final = 32 << 20
"""About how many bytes one query reads; at least the frames of one second."""

_OVERHEAD: Final = 500
"""Bytes of a frame besides its text."""

_SECONDS: Final = """
SELECT toInt64(toUnixTimestamp(received_at)) AS second,
    toInt64(sum(length(frame)) + {overhead:UInt64} * count()) AS bytes
FROM bronze_frames
WHERE exchange = {exchange:String}
    AND received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
GROUP BY second
ORDER BY second
"""

_FRAMES: Final = """
SELECT toUnixTimestamp64Micro(received_at) * 1000 + received_ns AS recv_ns,
    toString(connection) AS connection, source_offset AS seq, frame, toString(source) AS source,
    source_partition, source_offset,
    toUnixTimestamp64Micro(inserted_at) AS stored,
    kind = 'control' AS control,
    startsWith(connection, {rest:String}) OR startsWith(connection, {dump:String}) AS asked,
    duplicates > 0 AS again
FROM bronze_frames FINAL
WHERE exchange = {exchange:String}
    AND received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND received_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
    AND ({every:Bool} OR kind = 'control' AND (startsWith(frame, {event:String})
        OR {channels:Bool} AND startsWith(frame, '{')))
ORDER BY received_at, received_ns, bronze_frames.connection, bronze_frames.source, source_partition,
    source_offset
"""

_COUNT: Final = """
SELECT count() FROM bronze_frames
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
"""

_COLUMNS: Final = {**FRAMES, **SOURCE}
_READ_COLUMNS: Final[Columns] = {
    **_COLUMNS,
    "stored": pl.Int64,
    "control": pl.Boolean,
    "asked": pl.Boolean,
    "again": pl.Boolean,
}
_SECOND_US: Final = 1_000_000


@log_failures
class _StoredFramePartition(StatefulSourcePartition[SourceItem, None]):
    def __init__(self, chunks: Iterator[FrameBatch]) -> None:
        self._chunks = chunks

    def next_batch(self) -> Iterable[SourceItem]:
        return [next(self._chunks)]

    def snapshot(self) -> None:
        return None


class StoredFrameSource(FixedPartitionedSource[SourceItem, None]):
    """Source of the frames of `bronze_frames` received since a time, exchange by exchange.

    Before them it emits all earlier connection events, which show the open connections, and of an
    exchange whose frames name no market the frames that tell of channels.

    Order: by receive time; within a nanosecond by connection and frame number. A REST or dump
    frame waited beside the websocket frames, so it is placed by the time it was stored.

    Delivery: none; it does not resume. Unit of parallelism: one partition. Memory: at most
    MAX_CHUNKS chunks of about CHUNK_BYTES, and the next one.
    """

    def __init__(self, database: Database, since_us: int) -> None:
        """`since_us` is in microseconds since 1970."""
        self._database = database
        self._since_us = since_us

    def count_frames(self) -> int:
        """Return about how many frames there are: one that is stored twice may count twice."""
        return int(self._database.query(_COUNT, {"since": self._since_us}).item())

    def list_parts(self) -> list[str]:
        return ["frames"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _StoredFramePartition:
        return _StoredFramePartition(self._chunks())

    def _chunks(self) -> Iterator[FrameBatch]:
        for exchange in EXCHANGES:
            yield from self._events(exchange)
            chunks = (self._read(exchange, *span, every=True) for span in self._spans(exchange))
            for frames in sort_chunks(chunks):
                yield FrameBatch(exchange, frames.select(*_COLUMNS))

    def _events(self, exchange: str) -> Iterator[FrameBatch]:
        events = self._read(exchange, 0, self._since_us, every=False)
        if events.height:
            yield FrameBatch(exchange, events.select(*_COLUMNS))

    def _spans(self, exchange: str) -> Iterator[tuple[int, int]]:
        """Yield time spans of about one chunk each."""
        parameters = {"exchange": exchange, "since": self._since_us, "overhead": _OVERHEAD}
        seconds = self._database.query(_SECONDS, parameters)
        chunk = pl.col("bytes").cum_sum() // CHUNK_BYTES
        spans = seconds.group_by(chunk.alias("chunk"), maintain_order=True).agg(
            begin=pl.col("second").first(), end=pl.col("second").last()
        )
        for begin, end in spans.select("begin", "end").iter_rows():
            yield max(begin * _SECOND_US, self._since_us), (end + 1) * _SECOND_US

    def _read(self, exchange: str, begin: int, end: int, *, every: bool) -> pl.DataFrame:
        event = f'{{"{EVENT}"'
        parameters = {
            "exchange": exchange,
            "since": begin,
            "until": end,
            "every": every,
            "event": event,
            "channels": EXCHANGES[exchange].channels is not None,
            "rest": FROM_REST,
            "dump": FROM_DUMP,
        }
        return self._database.query(_FRAMES, parameters).cast(_READ_COLUMNS)  # type: ignore[arg-type]


MAX_CHUNKS: Final = 4
"""Largest number of chunks held back for frames that were stored before theirs."""


def sort_chunks(chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield frames in processing order, given chunks in the order of receive times.

    A frame that was stored later than some frame of the next chunk waits for that chunk.
    """
    waiting: pl.DataFrame | None = None
    held_chunks = 0
    for chunk in chunks:
        frames = _with_turn(chunk)
        if waiting is None:
            waiting, held_chunks = frames, 1
            continue
        first_turn = pl.lit(frames["turn"].min())
        is_ready = (pl.col("turn") < first_turn) | (
            (pl.col("turn") == first_turn) & ~pl.col("last")
        )
        ready = waiting.filter(is_ready) if held_chunks < MAX_CHUNKS else waiting
        held_chunks = 1 if held_chunks >= MAX_CHUNKS or ready.height else held_chunks + 1
        if ready.height:
            yield ready
        rest = waiting.filter(~is_ready) if ready.height < waiting.height else waiting.clear()
        waiting = pl.concat([rest, frames]).sort("turn", "last", maintain_order=True)
    if waiting is not None:
        yield waiting


def _with_turn(frames: pl.DataFrame) -> pl.DataFrame:
    """Sort the frames of a chunk by processing order; add `turn` and `last`.

    `turn` is the time a frame was stored. `last` marks REST and dump frames with duplicates: among
    frames stored at once, they come after the frames that first held those trades. A control frame
    may have been stored again, so it comes no later than the next websocket frame.
    """
    is_websocket = ~pl.col("control") & ~pl.col("asked")
    following = pl.when(is_websocket).then("stored").reverse().fill_null(_NEVER).cum_min().reverse()
    turn = pl.when(pl.col("control")).then(pl.min_horizontal("stored", following))
    return frames.with_columns(
        turn=turn.otherwise("stored"), last=pl.col("asked") & pl.col("again")
    ).sort("turn", "last", maintain_order=True)


_NEVER: Final = 2**62
