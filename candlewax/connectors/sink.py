"""The tables as a sink."""

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from candlewax.batch import Batch
from candlewax.connectors.writer import Writer


class _Part(StatefulSinkPartition[Batch, None]):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write_batch(self, values: list[Batch]) -> None:
        for batch in values:
            self._writer.put(batch)

    def snapshot(self) -> None:
        self._writer.flush()


class Tables(FixedPartitionedSink[Batch, None]):
    """Stores batches in their tables.

    Unit of parallelism: one partition for each exchange; all of a process share
    one writer. Delivery: what a snapshot covers is durable, and the rows of an
    unfinished epoch may come again. Every table takes the same row twice without
    harm, so its content is as if each had come once.
    """

    def __init__(self, exchanges: tuple[str, ...], writer: Writer) -> None:
        self._exchanges = sorted(exchanges)
        self._writer = writer

    def list_parts(self) -> list[str]:
        return self._exchanges

    def part_fn(self, item_key: str) -> int:
        return self._exchanges.index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Part:
        return _Part(self._writer)
