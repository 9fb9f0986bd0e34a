"""Content of the latest new trades, kept in memory until it is stored, and a while longer."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import polars as pl

from candlewax.core.rows.table import build_table
from candlewax.core.schema import empty
from candlewax.core.trades.identity import CONTENT

RECENT_TRADES: Final = 300_000
"""Stored trades kept in memory: their duplicates need no query."""

_MAX_SMALL_FRAMES: Final = 128
"""Batches after which they are joined to a chunk."""

_MAX_ROWS: Final = 2_000
"""Rows after which they become a frame."""


CHUNK_ROWS: Final = 20_000
"""Least trades of a chunk; trades are dropped in chunks."""


class ContentRow(NamedTuple):
    """One row of CONTENT; the time in microseconds since 1970, amounts in units of 10^-12."""

    symbol: str
    sequence: int
    timestamp: int
    side: int
    price: int
    quantity: int


class RecentTrades:
    """Content of the latest new trades of one exchange, including all that are not stored yet."""

    def __init__(
        self,
        are_stored: Callable[[pl.DataFrame], bool],
        max_trades: int = RECENT_TRADES,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        """Create an empty store.

        `are_stored` returns whether trades (CONTENT), and so all before them, are stored.
        """
        self._are_stored = are_stored
        self._max_trades = max_trades
        self._chunk_rows = chunk_rows
        self._pending: list[pl.DataFrame] = []
        self._pending_rows: list[ContentRow] = []
        self._chunks: deque[pl.DataFrame] = deque()
        self._count = 0

    def add(self, trades: pl.DataFrame) -> None:
        """Add trades (TRADES), and drop the oldest stored ones beyond the limit."""
        if trades.is_empty():
            return
        self._flush_rows()
        self._pending.append(pl.DataFrame([trades[name] for name in CONTENT]))
        self._count += trades.height
        if len(self._pending) >= _MAX_SMALL_FRAMES:
            self._gather()

    def add_rows(self, rows: Sequence[ContentRow]) -> None:
        """Add trades as rows; as `add`."""
        self._pending_rows += rows
        self._count += len(rows)
        if len(self._pending_rows) >= _MAX_ROWS:
            self._gather()

    def _flush_rows(self) -> None:
        """Move pending rows to a frame behind those added before."""
        if self._pending_rows:
            table = build_table(CONTENT, self._pending_rows)
            self._pending.append(table.with_columns(pl.col("symbol").cast(pl.Categorical)))
            self._pending_rows.clear()

    def _gather(self) -> None:
        """Move pending trades to a chunk, and drop chunks.

        Chunks are dropped here only, as that takes a query.
        """
        self._flush_rows()
        if self._chunks and self._chunks[-1].height < self._chunk_rows:
            self._pending.insert(0, self._chunks.pop())
        self._chunks.append(pl.concat(self._pending).rechunk())
        self._pending.clear()
        if self._chunks[-1].height >= self._chunk_rows:
            self._drop_stored()

    def _drop_stored(self) -> None:
        """Drop the oldest chunks that are stored.

        Trades are stored in order. So if a chunk is stored, all before it are, also those whose
        rows were deleted since.
        """
        remaining = self._count
        excess = []
        for chunk in self._chunks:
            remaining -= chunk.height
            if remaining < self._max_trades:
                break
            excess.append(chunk)
        if excess and self._are_stored(_last_of_days(excess[-1])):
            stored_count = len(excess)
        else:
            stored_count = next(
                (n for n, c in enumerate(excess) if not self._are_stored(_last_of_days(c))), 0
            )
        for _ in range(stored_count):
            self._count -= self._chunks.popleft().height

    def find(self, trades: pl.DataFrame) -> pl.DataFrame:
        """Return CONTENT of the trades with the symbols and numbers of others (CONTENT)."""
        if self._pending or self._pending_rows:
            self._gather()
        keys = trades.select("symbol", "sequence").unique()
        matches = [
            chunk.with_columns(pl.col("symbol").cast(pl.String)).join(
                keys, on=["symbol", "sequence"], how="semi"
            )
            for chunk in self._chunks
        ]
        return pl.concat([empty(CONTENT), *matches])


def _last_of_days(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the last trade (CONTENT) of each day: trades of a day are stored in order."""
    day = trades["timestamp"].dt.date()
    return trades.filter(day.is_last_distinct()).with_columns(pl.col("symbol").cast(pl.String))
