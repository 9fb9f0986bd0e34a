"""Writer of rows, in large blocks and in a fixed order of tables."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import polars as pl
from prometheus_client import Histogram

from candlewax.clickhouse import arrow
from candlewax.clickhouse.client import Database
from candlewax.clickhouse.partitions import split_by_partitions
from candlewax.clickhouse.recompute import CandleRecomputer
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles.rows import CLOSED
from candlewax.core.rows.batch import AnyBatch
from candlewax.core.rows.columns import merge_rows
from candlewax.core.schema import drop_column
from candlewax.runtime.counters import Counters
from candlewax.runtime.cpu import count_cores
from candlewax.runtime.metrics import DELAYS

ORDER: Final = (
    "outages",
    "market_outages",
    "bronze_frames",
    "contradictions",
    "dead_letters",
    "numberings",
    "silver_trades",
    "gaps",
    "ohlcv",
    "watermarks",
)
"""Order of the tables in each block: after a crash none claims more than those before it hold.

An outage precedes the frame that ended it: a process that starts from the tables sees it. Frames
precede dead letters, and these the trades of their frame: a stored trade proves that its whole
frame is stored. A contradiction precedes its dead letter, a numbering the trade that opened it.
Trades precede their gaps and candles, candles their watermark, `ohlcv_revisions` `ohlcv`."""

BLOCK_ROWS: Final = 200_000
"""Pending rows of all tables together at which a block is stored at once, and `put` waits."""

BLOCK_BYTES: Final = 128 << 20

FIRST_ROWS: Final = 100_000
"""Pending rows at which an idle writer stores a block without waiting for more."""

MAX_WAIT_S: Final = 1.0
"""Seconds that rows wait for more once they are more than SMALL_BATCH_ROWS."""

SMALL_BATCH_ROWS: Final = 5_000
"""Pending rows up to which the writer does not wait for more."""

COALESCE_S: Final = 0.001
"""Seconds that the writer waits for batches handed over at the same moment."""

_INSERT_ROWS: Final = Histogram(
    "candlewax_sink_rows",
    "Rows per insert.",
    ["table"],
    buckets=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
)
_INSERT_SECONDS: Final = Histogram(
    "candlewax_sink_seconds",
    "Seconds per insert, with its retries.",
    ["table"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
_DELAYS: Final = {
    "silver_trades": Histogram(
        "candlewax_received_to_silver_seconds",
        "Seconds from the receipt of a batch's oldest trade until its trades are stored.",
        ["exchange"],
        buckets=DELAYS,
    ),
    "ohlcv": Histogram(
        "candlewax_received_to_candle_seconds",
        "Seconds from the receipt of a batch's oldest trade until its candles are stored.",
        ["exchange"],
        buckets=DELAYS,
    ),
}
"""Histogram of the delay until a batch is stored, by table."""


class Writer:
    """Writer of batches, in a background thread if the process has a second core.

    An insert releases the interpreter's lock, so it overlaps with decoding on a second core. On
    one core the two would only alternate, so `put` stores in place. The next call raises a
    failure of the background thread.
    """

    def __init__(
        self,
        database: Database,
        counters: Counters,
        *,
        history: StateLoader | None = None,
        background: bool | None = None,
        before: Callable[[], None] = lambda: None,
        after: Callable[[Sequence[Batch]], None] = lambda _: None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """`before` is called before each block is stored; an error in it is a failure to store.

        `after` is called with the stored batches, in their order, and must not wait.
        """
        self._database = database
        self._state_loader = history or StateLoader(database, wait=wait)
        self._recomputer = CandleRecomputer(self._state_loader)
        self._before = before
        self._after = after
        self._counters = counters
        self._wait = wait
        self._signal = threading.Condition()
        self._pending: list[AnyBatch] = []
        self._rows = self._bytes = 0
        self._since = 0.0
        self._is_storing = self._has_more_inserts = self._is_flushing = self._is_closed = False
        self._failure: BaseException | None = None
        self._tokens = (f"{os.getpid()}-{os.urandom(8).hex()}-{n}" for n in itertools.count())
        if background is None:
            background = count_cores() > 1
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._has_thread = background
        if background:
            self._thread.start()

    def put(self, batch: AnyBatch) -> None:
        """Hand a batch over. Wait while a whole block is pending."""
        size = batch.estimated_bytes
        with self._signal:
            self._signal.wait_for(lambda: self._failure or not self._is_full())
            self._raise_failure()
            if not self._pending:
                self._since = time.monotonic()
            self._pending.append(batch)
            self._rows += batch.rows
            self._bytes += size
            self._signal.notify_all()
            if not self._has_thread and (self._is_full() or self._waited_s() >= MAX_WAIT_S):
                self._store(self._take_pending())

    @property
    def is_backlogged(self) -> bool:
        """True if a few more rows would only wait for the block that is being stored.

        False during its last insert if no rows are pending, and with more than SMALL_BATCH_ROWS
        pending or in the block: rows then come many at once. False after a failure.
        """
        if self._failure or not self._is_storing or self._rows > SMALL_BATCH_ROWS:
            return False
        return self._has_more_inserts or self._rows > 0

    def flush(self) -> None:
        """Return when all batches handed over are stored."""
        with self._signal:
            if not self._has_thread:
                self._store(self._take_pending())
                return
            self._is_flushing = True
            self._signal.notify_all()
            self._signal.wait_for(lambda: self._failure or not (self._pending or self._is_storing))
            self._is_flushing = False
            self._raise_failure()

    def close(self) -> None:
        """End the thread. Batches that were not flushed are dropped."""
        with self._signal:
            self._is_closed = True
            self._signal.notify_all()
        if self._has_thread:
            self._thread.join()

    def _raise_failure(self) -> None:
        if self._failure:
            raise RuntimeError("storing failed") from self._failure

    def _is_full(self) -> bool:
        return self._rows >= BLOCK_ROWS or self._bytes >= BLOCK_BYTES

    def _waited_s(self) -> float:
        return time.monotonic() - self._since

    def _take_pending(self) -> list[AnyBatch]:
        batches, self._pending = self._pending, []
        self._rows = self._bytes = 0
        return batches

    def _run(self) -> None:
        try:
            while batches := self._wait_for_batches():
                self._store(batches)
                with self._signal:
                    self._is_storing = False
                    self._signal.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for it
            with self._signal:
                self._failure = error
                self._signal.notify_all()

    def _wait_for_batches(self) -> list[AnyBatch]:
        """Wait for batches and return them; none if the writer was closed."""
        with self._signal:
            self._signal.wait_for(lambda: self._pending or self._is_closed)
            self._signal.wait_for(self._is_ready, timeout=max(0.0, COALESCE_S - self._waited_s()))
            if self._rows > SMALL_BATCH_ROWS:
                self._signal.wait_for(
                    self._is_ready, timeout=max(0.0, MAX_WAIT_S - self._waited_s())
                )
            if self._is_closed:
                return []
            self._is_storing = True
            self._has_more_inserts = self._rows <= SMALL_BATCH_ROWS
            batches = self._take_pending()
            self._signal.notify_all()
            return batches

    def _is_ready(self) -> bool:
        return self._rows >= FIRST_ROWS or self._is_full() or self._is_flushing or self._is_closed

    def _store(self, pending: list[AnyBatch]) -> None:
        self._before()
        batches = merge_rows(pending)
        filled = [t for t in ORDER if any(t in b.tables and b.tables[t].height for b in batches)]
        for table in ORDER:
            frames = [b.tables[table] for b in batches if table in b.tables]
            if table in filled[-1:]:
                self._has_more_inserts = False
            if table == "ohlcv" and frames:
                self._insert_candles(_latest_candles(batches))
            else:
                self._insert(table, frames)
            if frames and table in _DELAYS:
                _observe_delays(table, batches)
        recomputed: list[Batch] = []
        for exchange in {batch.exchange for batch in batches}:
            own = [batch for batch in batches if batch.exchange == exchange]
            rows = self._recompute(exchange, own)
            recomputed += [Batch(exchange, {"ohlcv": frame}) for frame in rows]
        self._after([*batches, *recomputed])

    def _recompute(self, exchange: str, batches: Sequence[Batch]) -> Iterator[pl.DataFrame]:
        """Recompute the stale candles of an exchange's batches, store them, yield their rows."""
        for rows in self._recomputer.recompute(exchange, batches):
            self._insert_candles([rows])
            yield rows

    def _insert_candles(self, frames: Sequence[pl.DataFrame]) -> None:
        with_closed = [frame for frame in frames if frame["closed"].any()]
        closed = [frame.filter("closed").drop("closed") for frame in with_closed]
        self._insert("ohlcv_revisions", closed)
        self._count_revisions(closed)
        self._insert("ohlcv", [drop_column(frame, "cause") for frame in frames])

    def _count_revisions(self, closed: Iterable[pl.DataFrame]) -> None:
        """Count the rows that revise a closed candle, by exchange and cause."""
        for frame in closed:
            revised = frame.filter(pl.col("cause") != CLOSED)
            if revised.height:
                for exchange, cause, count in revised.group_by("exchange", "cause").len().rows():
                    self._counters.increment(count, "revisions", exchange, str(cause))

    def _insert(self, table: str, frames: Iterable[pl.DataFrame]) -> None:
        filled = [frame for frame in frames if frame.height]
        for part in split_by_partitions(table, filled):
            rows = arrow.rows(table, part)
            token = next(self._tokens)
            insert = partial(self._database.insert, table, rows, token)
            with _INSERT_SECONDS.labels(table).time():
                self._database.with_retries(insert, self._wait)
            _INSERT_ROWS.labels(table).observe(rows.num_rows)
            self._counters.increment(rows.num_rows, "stored", table)


def _observe_delays(table: str, batches: list[Batch]) -> None:
    """Observe for each batch the delay since the receipt of its oldest trade."""
    now = time.time()
    for batch in batches:
        if table in batch.tables and batch.trades.height:
            oldest: Any = batch.trades["received_at"].min()
            _DELAYS[table].labels(batch.exchange).observe(max(0.0, now - oldest.timestamp()))


def _latest_candles(batches: Iterable[Batch]) -> list[pl.DataFrame]:
    """Return the latest row of each candle of these batches, a frame for each exchange."""
    candles: dict[str, list[pl.DataFrame]] = {}
    for batch in batches:
        if "ohlcv" in batch.tables:
            candles.setdefault(batch.exchange, []).append(batch.tables["ohlcv"])
    return [
        frames[0] if len(frames) == 1 else pl.concat(frames).unique(list(WINDOW_KEY), keep="last")
        for frames in candles.values()
    ]
