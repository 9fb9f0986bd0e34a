"""Stored frames as a source: what `bronze_frames` holds, in the order it was received."""

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
"""About how much is read at once; no less than the frames of a second."""

_OVERHEAD: Final = 500
"""What a frame costs beside its text, in bytes."""

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
    AND ({every:Bool} OR kind = 'control' AND startsWith(frame, {event:String}))
ORDER BY received_at, received_ns, bronze_frames.connection, bronze_frames.source, source_partition,
    source_offset
"""

_COLUMNS: Final = {**FRAMES, **SOURCE}
_PLACED: Final[Columns] = {
    **_COLUMNS,
    "stored": pl.Int64,
    "control": pl.Boolean,
    "asked": pl.Boolean,
    "again": pl.Boolean,
}
_SECOND: Final = 1_000_000


@log_failures
class _Frames(StatefulSourcePartition[SourceItem, None]):
    def __init__(self, chunks: Iterator[FrameBatch]) -> None:
        self._chunks = chunks

    def next_batch(self) -> Iterable[SourceItem]:
        return [next(self._chunks)]

    def snapshot(self) -> None:
        return None


class StoredFrameSource(FixedPartitionedSource[SourceItem, None]):
    """Emits the frames of `bronze_frames` that were received since some time, exchange by
    exchange, as they came; and before them what happened to connections earlier, so that
    it is known which are alive.

    As they came: in the order of their receive times, those of the same nanosecond by
    the names of their connections and their numbers. What was asked for (by REST) waited
    for its turn beside the websockets, so it is put where it was stored.

    Unit of parallelism: one partition. Delivery: none; it does not resume. Memory: a few
    chunks of CHUNK_BYTES.
    """

    def __init__(self, database: Database, since: int) -> None:
        """`since` in microseconds since 1970."""
        self._database = database
        self._since = since

    def list_parts(self) -> list[str]:
        return ["frames"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Frames:
        return _Frames(self._chunks())

    def _chunks(self) -> Iterator[FrameBatch]:
        for exchange in EXCHANGES:
            yield from self._events(exchange)
            chunks = (self._read(exchange, *span, every=True) for span in self._spans(exchange))
            for frames in in_turn(chunks):
                yield FrameBatch(exchange, frames.select(*_COLUMNS))

    def _events(self, exchange: str) -> Iterator[FrameBatch]:
        events = self._read(exchange, 0, self._since, every=False)
        if events.height:
            yield FrameBatch(exchange, events.select(*_COLUMNS))

    def _spans(self, exchange: str) -> Iterator[tuple[int, int]]:
        """Spans of time that hold about a chunk each."""
        parameters = {"exchange": exchange, "since": self._since, "overhead": _OVERHEAD}
        seconds = self._database.query(_SECONDS, parameters)
        chunk = pl.col("bytes").cum_sum() // CHUNK_BYTES
        spans = seconds.group_by(chunk.alias("chunk"), maintain_order=True).agg(
            begin=pl.col("second").first(), end=pl.col("second").last()
        )
        for begin, end in spans.select("begin", "end").iter_rows():
            yield max(begin * _SECOND, self._since), (end + 1) * _SECOND

    def _read(self, exchange: str, begin: int, end: int, *, every: bool) -> pl.DataFrame:
        event = f'{{"{EVENT}"'
        parameters = {
            "exchange": exchange,
            "since": begin,
            "until": end,
            "every": every,
            "event": event,
            "rest": FROM_REST,
            "dump": FROM_DUMP,
        }
        return self._database.query(_FRAMES, parameters).cast(_PLACED)  # type: ignore[arg-type]


MOST_CHUNKS: Final = 4
"""How many chunks wait at most for frames that were stored before them."""


def in_turn(chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames, in chunks by their receive times, in the order they came.

    Frames of a chunk that were stored later than some of the next wait for it.
    """
    waiting: pl.DataFrame | None = None
    many = 0
    for chunk in chunks:
        frames = _placed(chunk)
        if waiting is None:
            waiting, many = frames, 1
            continue
        least = pl.lit(frames["turn"].min())
        turn = (pl.col("turn") < least) | ((pl.col("turn") == least) & ~pl.col("last"))
        ready = waiting.filter(turn) if many < MOST_CHUNKS else waiting
        many = 1 if many >= MOST_CHUNKS or ready.height else many + 1
        if ready.height:
            yield ready
        left = waiting.filter(~turn) if ready.height < waiting.height else waiting.clear()
        waiting = pl.concat([left, frames]).sort("turn", "last", maintain_order=True)
    if waiting is not None:
        yield waiting


def _placed(frames: pl.DataFrame) -> pl.DataFrame:
    """The frames of a chunk in the order they came, with their `turn`, which is when
    they were stored, and whether they come `last` of those stored at once: what was asked
    for and found trades that had been seen came behind the frames that brought them.

    A control frame may have been stored again; it came before what was received next.
    """
    of_sockets = ~pl.col("control") & ~pl.col("asked")
    following = pl.when(of_sockets).then("stored").reverse().fill_null(_NEVER).cum_min().reverse()
    turn = pl.when(pl.col("control")).then(pl.min_horizontal("stored", following))
    return frames.with_columns(
        turn=turn.otherwise("stored"), last=pl.col("asked") & pl.col("again")
    ).sort("turn", "last", maintain_order=True)


_NEVER: Final = 2**62
