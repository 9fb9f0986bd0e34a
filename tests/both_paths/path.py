"""One way of frames into the tables: as rows or as columns, without any engine around it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final
from unittest import mock

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.frames import FrameBatch
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.schema import FRAMES
from candlewax.core.snapshots import Snapshot
from candlewax.pipeline.steps.candles import CandleStep
from candlewax.pipeline.steps.decode import DecodeStep
from candlewax.pipeline.steps.deduplicate import DeduplicateStep
from candlewax.runtime.counters import Counters
from tests.both_paths.made_frames import MadeFrame
from tests.support.playing import INSTRUMENTS

NEVER_S: Final = 1e9


class _FlushedWriter(Writer):
    """Writer that stores only when it is told to, so that both ways have the same blocks."""

    def _is_full(self) -> bool:
        return False

    def _waited_s(self) -> float:
        return -NEVER_S


class _Steps:
    """Steps of one exchange."""

    def __init__(
        self,
        loader: StateLoader,
        counters: Counters,
        snapshots: Sequence[Snapshot | None] = (None, None),
    ) -> None:
        self.deduplicate = DeduplicateStep(loader, counters, snapshots[0])
        self.candles = CandleStep(loader, counters, snapshots[1])

    def snapshots(self) -> tuple[Snapshot | None, Snapshot | None]:
        """Return the state of both steps."""
        return self.deduplicate.snapshot(), self.candles.snapshot()


class FramePath:
    """Frames of all exchanges through all steps into one database.

    With `by_rows` frames are rows, as those of a live feed, and forming candles wait as they do
    there. Otherwise they are columns.
    """

    def __init__(self, database: Database, *, by_rows: bool) -> None:
        self.database = database
        self.counters = Counters()
        self.batches: Counter[str] = Counter()
        self._by_rows = by_rows
        self._start({})

    def _start(self, snapshots: dict[str, tuple[Snapshot | None, Snapshot | None]]) -> None:
        self._loader = StateLoader(self.database)
        self._writer = _FlushedWriter(
            self.database,
            self.counters,
            history=self._loader,
            background=False,
            interval_s=1.0 if self._by_rows else 0.0,
        )
        self._decode = DecodeStep(INSTRUMENTS, INSTRUMENTS.exchanges, self.counters)
        self._steps = {
            exchange: _Steps(self._loader, self.counters, saved)
            for exchange, saved in snapshots.items()
        }

    def add(self, frames: Sequence[MadeFrame]) -> None:
        """Process frames as one batch for each exchange."""
        for exchange in dict.fromkeys(frame.exchange for frame in frames):
            own = [frame for frame in frames if frame.exchange == exchange]
            with mock.patch("candlewax.pipeline.steps.decode.SMALL_BATCH_ROWS", -1):
                decoded = self._decode(self._batch(exchange, own))
            for key, batch in decoded:
                steps = self._steps.get(key) or _Steps(self._loader, self.counters)
                self._steps[key] = steps
                new, _ = steps.deduplicate.on_batch([batch])
                stored, _ = steps.candles.on_batch(list(new))
                self._put(stored)

    def _put(self, batches: Iterable[Any]) -> None:
        for batch in batches:
            self.batches["rows" if isinstance(batch, RowBatch) else "columns"] += 1
            self._writer.put(batch)

    def _batch(self, exchange: str, frames: Sequence[MadeFrame]) -> FrameBatch:
        if self._by_rows:
            rows = [
                Frame(f.recv_ns, f.connection, f.seq, f.text, f.connection, 0, f.seq)
                for f in frames
            ]
            return FrameBatch(exchange, rows=rows)
        columns = [(f.recv_ns, f.connection, f.seq, f.text) for f in frames]
        return FrameBatch(exchange, pl.DataFrame(columns, FRAMES, orient="row"))

    def flush(self) -> None:
        """Store all that was processed."""
        self._writer.flush()

    def snapshots(self) -> dict[str, tuple[Snapshot | None, Snapshot | None]]:
        """Return the state of all exchanges."""
        return {exchange: steps.snapshots() for exchange, steps in self._steps.items()}

    def restart(self, *, with_snapshots: bool) -> None:
        """Continue as another process does, from snapshots or from the tables."""
        self._start(self.snapshots() if with_snapshots else {})
