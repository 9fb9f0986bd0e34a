"""The one thread that stores rows, in large blocks and in a fixed order."""

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
from candlewax.core.schema import without
from candlewax.runtime.counters import Counters
from candlewax.runtime.cpu import cores
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
"""An outage before the frame that ended it, so that whoever begins with the tables does
not miss it; frames before their dead letters, these before their trades: trades that are
stored tell that all of their frame is. What contradicts a trade before its dead letter, and the
numbering that a trade opened before the trade. Trades before the gaps beside them and before
their candles, candles before the watermark that says they are closed: whatever was
stored last, the tables never claim more than what stands behind them. A candle's row
comes after its row among the revisions, so that none is shown that is not kept there."""

BLOCK_ROWS: Final = 200_000
"""Rows of all tables together that make a block worth storing at once."""

BLOCK_BYTES: Final = 128 << 20

FIRST_ROWS: Final = 100_000
"""Rows worth storing by a writer that has nothing else to do."""

MAX_WAIT_S: Final = 1.0
"""Seconds that rows wait for others while many come."""

SMALL_BATCH_ROWS: Final = 5_000
"""Rows that do not wait for others: no flood is coming."""

COALESCE_S: Final = 0.001
"""Seconds for the rows of one moment to come together."""

_ROWS: Final = Histogram(
    "candlewax_sink_rows",
    "Rows of one insert.",
    ["table"],
    buckets=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
)
_SECONDS: Final = Histogram(
    "candlewax_sink_seconds",
    "How long one insert took, with its retries.",
    ["table"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
_STORED: Final = {
    "silver_trades": Histogram(
        "candlewax_received_to_silver_seconds",
        "From the receipt of a batch's oldest trade until its trades are stored.",
        ["exchange"],
        buckets=DELAYS,
    ),
    "ohlcv": Histogram(
        "candlewax_received_to_candle_seconds",
        "From the receipt of a batch's oldest trade until its candles can be read.",
        ["exchange"],
        buckets=DELAYS,
    ),
}
"""How long it takes until what a batch holds is in a table."""


class Writer:
    """Stores batches, in the background where there is a second core.

    Storing lets go of the interpreter's lock, so there it overlaps with decoding; on
    one core the two would only take turns, and it is done in place. A failure in
    the background is raised by the next call.
    """

    def __init__(
        self,
        database: Database,
        tally: Counters,
        *,
        history: StateLoader | None = None,
        background: bool | None = None,
        before: Callable[[], None] = lambda: None,
        after: Callable[[Sequence[Batch]], None] = lambda _: None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """`before` is called before anything is stored of the batches handed over so
        far; what it raises counts as a failure to store. `after` is given what was
        stored, in the order of storing, and must not wait.
        """
        self._database = database
        self._history = history or StateLoader(database, wait=wait)
        self._anew = CandleRecomputer(self._history)
        self._before = before
        self._after = after
        self._tally = tally
        self._wait = wait
        self._changed = threading.Condition()
        self._pending: list[Batch] = []
        self._rows = self._bytes = 0
        self._since = 0.0
        self._storing = self._occupied = self._urgent = self._closed = False
        self._failure: BaseException | None = None
        self._tokens = (f"{os.getpid()}-{os.urandom(8).hex()}-{n}" for n in itertools.count())
        if background is None:
            background = cores() > 1
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._background = background
        if background:
            self._thread.start()

    def put(self, batch: Batch) -> None:
        """Hand a batch over; waits while too much is waiting already."""
        size = sum(frame.estimated_size() for frame in batch.tables.values())
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._enough())
            self._check()
            if not self._pending:
                self._since = time.monotonic()
            self._pending.append(batch)
            self._rows += batch.rows
            self._bytes += int(size)
            self._changed.notify_all()
            if not self._background and (self._enough() or self._waited() >= MAX_WAIT_S):
                self._store(self._take())

    @property
    def is_backlogged(self) -> bool:
        """Whether a few more rows would only wait for others: until the last of those that
        are stored now is on its way, or while others wait already. A backlog is none of
        it, as its rows are many at once; nor a failure, which the next ones are to meet.
        """
        if self._failure or not self._storing or self._rows > SMALL_BATCH_ROWS:
            return False
        return self._occupied or self._rows > 0

    def flush(self) -> None:
        """Return when all that was handed over is stored."""
        with self._changed:
            if not self._background:
                self._store(self._take())
                return
            self._urgent = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failure or not (self._pending or self._storing))
            self._urgent = False
            self._check()

    def close(self) -> None:
        """End the thread; what was not flushed is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._background:
            self._thread.join()

    def _check(self) -> None:
        if self._failure:
            raise RuntimeError("storing failed") from self._failure

    def _enough(self) -> bool:
        return self._rows >= BLOCK_ROWS or self._bytes >= BLOCK_BYTES

    def _waited(self) -> float:
        return time.monotonic() - self._since

    def _take(self) -> list[Batch]:
        batches, self._pending = self._pending, []
        self._rows = self._bytes = 0
        return batches

    def _run(self) -> None:
        try:
            while batches := self._next():
                self._store(batches)
                with self._changed:
                    self._storing = False
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for it
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next(self) -> list[Batch]:
        """The batches to store next; none when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            self._changed.wait_for(self._ready, timeout=max(0.0, COALESCE_S - self._waited()))
            if self._rows > SMALL_BATCH_ROWS:
                self._changed.wait_for(self._ready, timeout=max(0.0, MAX_WAIT_S - self._waited()))
            if self._closed:
                return []
            self._storing = True
            self._occupied = self._rows <= SMALL_BATCH_ROWS
            batches = self._take()
            self._changed.notify_all()
            return batches

    def _ready(self) -> bool:
        return self._rows >= FIRST_ROWS or self._enough() or self._urgent or self._closed

    def _store(self, batches: list[Batch]) -> None:
        self._before()
        filled = [t for t in ORDER if any(t in b.tables and b.tables[t].height for b in batches)]
        for table in ORDER:
            frames = [b.tables[table] for b in batches if table in b.tables]
            if table in filled[-1:]:
                self._occupied = False
            if table == "ohlcv" and frames:
                self._insert_candles(_latest(batches))
            else:
                self._insert(table, frames)
            if frames and table in _STORED:
                _observe(table, batches)
        mended: list[Batch] = []
        for exchange in {batch.exchange for batch in batches}:
            own = [batch for batch in batches if batch.exchange == exchange]
            mended += [Batch(exchange, {"ohlcv": rows}) for rows in self._mend(exchange, own)]
        self._after([*batches, *mended])

    def _mend(self, exchange: str, batches: Sequence[Batch]) -> Iterator[pl.DataFrame]:
        """Store anew what these batches of an exchange say of candles whose state is gone;
        gives their rows of `ohlcv` once they are stored.
        """
        for rows in self._anew.recompute(exchange, batches):
            self._insert_candles([rows])
            yield rows

    def _insert_candles(self, frames: Sequence[pl.DataFrame]) -> None:
        some = [frame for frame in frames if frame["closed"].any()]
        closed = [frame.filter("closed").drop("closed") for frame in some]
        self._insert("ohlcv_revisions", closed)
        self._count(closed)
        self._insert("ohlcv", [without(frame, "cause") for frame in frames])

    def _count(self, closed: Iterable[pl.DataFrame]) -> None:
        """Count the rows of closed candles that revise what was written before."""
        for frame in closed:
            again = frame.filter(pl.col("cause") != CLOSED)
            if again.height:
                for exchange, cause, count in again.group_by("exchange", "cause").len().rows():
                    self._tally.increment(count, "revisions", exchange, str(cause))

    def _insert(self, table: str, frames: Iterable[pl.DataFrame]) -> None:
        filled = [frame for frame in frames if frame.height]
        for part in split_by_partitions(table, filled):
            rows = arrow.rows(table, part)
            token = next(self._tokens)
            insert = partial(self._database.insert, table, rows, token)
            with _SECONDS.labels(table).time():
                self._database.with_retries(insert, self._wait)
            _ROWS.labels(table).observe(rows.num_rows)
            self._tally.increment(rows.num_rows, "stored", table)


def _observe(table: str, batches: list[Batch]) -> None:
    """How long the batches took from the receipt of the oldest trade of each."""
    now = time.time()
    for batch in batches:
        if table in batch.tables and batch.trades.height:
            oldest: Any = batch.trades["received_at"].min()
            _STORED[table].labels(batch.exchange).observe(max(0.0, now - oldest.timestamp()))


def _latest(batches: Iterable[Batch]) -> list[pl.DataFrame]:
    """Each candle of these batches once, as it was last."""
    candles: dict[str, list[pl.DataFrame]] = {}
    for batch in batches:
        if "ohlcv" in batch.tables:
            candles.setdefault(batch.exchange, []).append(batch.tables["ohlcv"])
    return [
        frames[0] if len(frames) == 1 else pl.concat(frames).unique(list(WINDOW_KEY), keep="last")
        for frames in candles.values()
    ]
