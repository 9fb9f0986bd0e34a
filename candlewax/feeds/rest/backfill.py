"""Bytewax source for backfill: trades of a time span from REST or dump files."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource

from candlewax.core.frames import FROM_DUMP, FROM_REST, SourceItem
from candlewax.exchanges.protocol.dialect import DumpRules
from candlewax.exchanges.protocol.dump_files import is_header, read_lines
from candlewax.feeds.rest import dump_files
from candlewax.feeds.rest.client import Answer
from candlewax.feeds.rest.dump_files import DumpError
from candlewax.feeds.rest.span_pages import BackfillError, Span, SpanCounts
from candlewax.feeds.rest.worker import WorkerPartition, WorkerThread
from candlewax.runtime.counters import Counters

MAX_QUEUED: Final = 64
"""Largest number of queued texts. All queued texts become one batch, and candles of old trades
are recomputed once per batch."""

ALL_TIMES: Final = (-(2**63), 2**63 - 1)
"""Span without limits."""

Texts = Iterator[Answer] | Iterator[str | bytes]
"""REST responses, or pieces of dump files."""


def pieces(
    files: Sequence[Path],
    dump: DumpRules,
    span: Span | None,
    count: Callable[[int], None],
    counts: SpanCounts,
) -> Iterator[str | bytes]:
    """Yield the pieces of dump files, limited to the lines of a span if there is one.

    Unreadable lines are always kept; pieces without lines are left out. `counts` counts trades and
    unreadable lines, `count` is called with the bytes of each piece. Raises BackfillError.
    """
    try:
        for path in files:
            for piece in dump_files.pieces(path, count):
                if isinstance(piece, bytes):
                    counts.unreadable += piece.count(b"\n") + 1
                    yield piece
                elif text := _lines_within(piece, dump, span or ALL_TIMES, counts):
                    yield text
    except DumpError as error:
        raise BackfillError(str(error)) from error


def _lines_within(piece: str, dump: DumpRules, span: Span, counts: SpanCounts) -> str:
    """Return the lines of a piece that lie in the span or are unreadable, "" if there are none."""
    frame = pl.DataFrame({"row": [0], "native_symbol": [""], "frame": [piece]})
    columns, _ = read_lines(dump, frame)
    times = columns.select("index", time=dump.dialect.columns["time"]).drop_nulls()
    is_inside = pl.col("time").is_between(*span, closed="left")
    within = set(times.filter(is_inside)["index"])
    outside = set(times.filter(~is_inside)["index"])
    kept_lines = [
        (index, line) for index, line in enumerate(piece.split("\n")) if index not in outside
    ]
    lines = [
        index for index, line in kept_lines if line.strip("\r") and not is_header(dump, index, line)
    ]
    counts.within += len(within)
    counts.unreadable += len(lines) - len(within)
    return "\n".join(line for _, line in kept_lines) if lines else ""


class BackfillSource(FixedPartitionedSource[SourceItem, None]):
    """Source of texts about one market.

    Emits each text as a frame of the connection `rest/<native symbol>` or `dump/<native symbol>`.

    Delivery: at least once; each run starts from the beginning, and stored trades are duplicates.
    Unit of parallelism: one partition, with a thread of its own. Ends with the last text, once
    `should_stop` is true, or at an error, which is then in `error`; earlier texts are emitted.
    """

    error: BackfillError | None = None

    def __init__(
        self,
        exchange: str,
        native_symbol: str,
        texts: Callable[[Callable[[float], bool]], Texts],
        counters: Counters,
        should_stop: Callable[[], bool],
    ) -> None:
        """`texts` is called with a function that waits some seconds and returns False to end."""
        self._exchange = exchange
        self._native_symbol = native_symbol
        self._texts = texts
        self._counters = counters
        self._should_stop = should_stop

    def list_parts(self) -> list[str]:
        return ["backfill"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> WorkerPartition:
        worker = WorkerThread("backfill", self._work, MAX_QUEUED)
        return WorkerPartition(self._exchange, worker, self._counters, self._should_stop)

    def _work(self, worker: WorkerThread) -> None:
        try:
            for seq, text in enumerate(self._texts(worker.wait)):
                if isinstance(text, Answer):
                    worker.put((text.received_ns, FROM_REST + self._native_symbol, seq, text.text))
                else:
                    worker.put((time.time_ns(), FROM_DUMP + self._native_symbol, seq, text))
        except BackfillError as error:
            self.error = error
