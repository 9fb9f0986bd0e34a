"""Stores blocks of rows in the tables, in a fixed order."""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import polars as pl
from prometheus_client import Histogram

from candlewax.clickhouse import arrow
from candlewax.clickhouse.client import Database
from candlewax.clickhouse.partitions import split_by_partitions
from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles.rows import CLOSED
from candlewax.core.schema import drop_column
from candlewax.runtime.counters import Counters
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


Recompute = Callable[[str, Sequence[Batch]], Iterator[pl.DataFrame]]
"""Recomputes stale candles of a shard's stored batches: rows of `ohlcv` with `cause`. Each is
stored before the next one is asked for.
"""


class BlockStore:
    """Inserts the rows of batches, table after table, and the candles recomputed because of them.

    Delivery: each insert is retried until it succeeds, and the tables drop repeated rows.
    """

    def __init__(
        self,
        database: Database,
        counters: Counters,
        recompute: Recompute,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._database = database
        self._counters = counters
        self._recompute = recompute
        self._wait = wait
        self._stored: Counter[tuple[str, ...]] = Counter()
        self._tokens = (f"{os.getpid()}-{os.urandom(8).hex()}-{n}" for n in itertools.count())

    def store(
        self, batches: Sequence[Batch], before_last_insert: Callable[[], None] = lambda: None
    ) -> list[Batch]:
        """Store batches. Return the rows of candles recomputed because of them, as batches."""
        filled = [t for t in ORDER if any(t in b.tables and b.tables[t].height for b in batches)]
        for table in ORDER:
            frames = [b.tables[table] for b in batches if table in b.tables]
            if table in filled[-1:]:
                before_last_insert()
            if table == "ohlcv" and frames:
                self._insert_candles(_latest_candles(batches))
            else:
                self._insert(table, frames)
            if frames and table in _DELAYS:
                _observe_delays(table, batches)
        recomputed: list[Batch] = []
        for exchange, shard in {(batch.exchange, batch.shard): None for batch in batches}:
            own = [one for one in batches if (one.exchange, one.shard) == (exchange, shard)]
            rows = self._store_recomputed(exchange, own)
            recomputed += [Batch(exchange, {"ohlcv": frame}) for frame in rows]
        self._counters.increment_all(self._stored)
        self._stored.clear()
        return recomputed

    def _store_recomputed(self, exchange: str, batches: Sequence[Batch]) -> Iterator[pl.DataFrame]:
        for rows in self._recompute(exchange, batches):
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
                    self._stored["revisions", exchange, str(cause)] += count

    def _insert(self, table: str, frames: Iterable[pl.DataFrame]) -> None:
        filled = [frame for frame in frames if frame.height]
        for part in split_by_partitions(table, filled):
            rows = arrow.rows(table, part)
            token = next(self._tokens)
            insert = partial(self._database.insert, table, rows, token)
            with _INSERT_SECONDS.labels(table).time():
                self._database.with_retries(insert, self._wait)
            _INSERT_ROWS.labels(table).observe(rows.num_rows)
            self._stored["stored", table] += rows.num_rows


def _observe_delays(table: str, batches: Sequence[Batch]) -> None:
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
