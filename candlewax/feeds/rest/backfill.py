"""Trades of a span of time as a source: from REST, or from dump files."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource

from candlewax.core.frames import FROM_DUMP, FROM_REST, SourceItem
from candlewax.exchanges.protocol.dialect import DumpRules
from candlewax.exchanges.protocol.dump_files import is_header, lift_lines
from candlewax.feeds.rest import dump_files as _dumps
from candlewax.feeds.rest.client import Answer
from candlewax.feeds.rest.dump_files import DumpError
from candlewax.feeds.rest.span_pages import BackfillError, Found, Span
from candlewax.feeds.rest.worker import WorkerPartition, WorkerThread
from candlewax.runtime.counters import Counters

WAITING: Final = 64
"""Texts that may wait to be taken; all that wait become one batch, and candles of old
trades are computed anew for each batch.
"""

EVER: Final = (-(2**63), 2**63 - 1)
"""The span of all times."""

Texts = Iterator[Answer] | Iterator[str | bytes]
"""Answers of REST, or pieces of dumps."""


def pieces(
    files: Sequence[Path],
    dump: DumpRules,
    span: Span | None,
    count: Callable[[int], None],
    found: Found,
) -> Iterator[str | bytes]:
    """Give all pieces of some dump files with the lines of a span, or with all of them; lines
    that cannot be read are never left out, a piece without any line is. `found` counts both.

    Raises BackfillError.
    """
    try:
        for path in files:
            for piece in _dumps.pieces(path, count):
                if isinstance(piece, bytes):
                    found.unread += piece.count(b"\n") + 1
                    yield piece
                elif text := _within(piece, dump, span or EVER, found):
                    yield text
    except DumpError as error:
        raise BackfillError(str(error)) from error


def _within(piece: str, dump: DumpRules, span: Span, found: Found) -> str:
    """Return the lines of a piece that lie in the span or cannot be read; nothing if there are
    none.
    """
    frame = pl.DataFrame({"row": [0], "native": [""], "frame": [piece]})
    native, _ = lift_lines(dump, frame)
    times = native.select("index", time=dump.dialect.columns["time"]).drop_nulls()
    inside = pl.col("time").is_between(*span, closed="left")
    within = set(times.filter(inside)["index"])
    outside = set(times.filter(~inside)["index"])
    kept = [(n, line) for n, line in enumerate(piece.split("\n")) if n not in outside]
    lines = [n for n, line in kept if line.strip("\r") and not is_header(dump, n, line)]
    found.within += len(within)
    found.unread += len(lines) - len(within)
    return "\n".join(line for _, line in kept) if lines else ""


class BackfillSource(FixedPartitionedSource[SourceItem, None]):
    """Emits texts about one market as frames of the connection `rest/<native symbol>`, or
    `dump/<native symbol>`, one after another.

    Unit of parallelism: one partition, with a thread of its own. Delivery: from the
    beginning each time it is run; what is stored already is recognized. Ends with the last
    text, when `stopping`, or at an error, which is then found in `error`; what came before
    is emitted.
    """

    error: BackfillError | None = None

    def __init__(
        self,
        exchange: str,
        native: str,
        texts: Callable[[Callable[[float], bool]], Texts],
        tally: Counters,
        stopping: Callable[[], bool],
    ) -> None:
        """`texts` is given what waits some seconds and tells whether to go on."""
        self._exchange = exchange
        self._native = native
        self._texts = texts
        self._tally = tally
        self._stopping = stopping

    def list_parts(self) -> list[str]:
        return ["backfill"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> WorkerPartition:
        outlet = WorkerThread("backfill", self._work, WAITING)
        return WorkerPartition(self._exchange, outlet, self._tally, self._stopping)

    def _work(self, outlet: WorkerThread) -> None:
        try:
            for seq, text in enumerate(self._texts(outlet.wait)):
                if isinstance(text, Answer):
                    outlet.put((text.received_ns, FROM_REST + self._native, seq, text.text))
                else:
                    outlet.put((time.time_ns(), FROM_DUMP + self._native, seq, text))
        except BackfillError as error:
            self.error = error
