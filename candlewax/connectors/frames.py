"""Stored frames as a source: what `bronze_frames` holds, in the order it was received."""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.connectors.clickhouse import Database
from candlewax.exchanges import EXCHANGES
from candlewax.feed import EVENT, Feed, Received
from candlewax.schema import FRAMES, SOURCE
from candlewax.telling import tells

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
    source_partition, source_offset
FROM bronze_frames FINAL
WHERE exchange = {exchange:String}
    AND received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND received_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
    AND ({every:Bool} OR kind = 'control' AND startsWith(frame, {event:String}))
ORDER BY received_at, received_ns, bronze_frames.connection, bronze_frames.source, source_partition,
    source_offset
"""

_COLUMNS: Final = {**FRAMES, **SOURCE}
_SECOND: Final = 1_000_000


@tells
class _Frames(StatefulSourcePartition[Feed, None]):
    def __init__(self, chunks: Iterator[Received]) -> None:
        self._chunks = chunks

    def next_batch(self) -> Iterable[Feed]:
        return [next(self._chunks)]

    def snapshot(self) -> None:
        return None


class StoredFrames(FixedPartitionedSource[Feed, None]):
    """Emits the frames of `bronze_frames` that were received since some time, exchange by
    exchange, each one's in the order of their receive times; and before them what
    happened to connections earlier, so that it is known which are alive.

    Frames of the same nanosecond come in the order of their connections' names and
    numbers. Unit of parallelism: one partition. Delivery: none; it does not resume.
    Memory: a chunk of CHUNK_BYTES.
    """

    def __init__(self, database: Database, since: int) -> None:
        """`since` in microseconds since 1970."""
        self._database = database
        self._since = since

    def list_parts(self) -> list[str]:
        return ["frames"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Frames:
        return _Frames(self._chunks())

    def _chunks(self) -> Iterator[Received]:
        for exchange in EXCHANGES:
            yield from self._events(exchange)
            for begin, end in self._spans(exchange):
                frames = self._read(exchange, begin, end, every=True)
                yield Received(exchange, frames)

    def _events(self, exchange: str) -> Iterator[Received]:
        events = self._read(exchange, 0, self._since, every=False)
        if events.height:
            yield Received(exchange, events)

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
        }
        return self._database.query(_FRAMES, parameters).cast(_COLUMNS)  # type: ignore[arg-type]
