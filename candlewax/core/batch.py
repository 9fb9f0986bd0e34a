"""Batches of rows between steps, after decoding."""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import CANDLE_KEY, Recertification
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.schema import TRADES, Columns, empty
from candlewax.core.shards import WHOLE, Shard

UNKNOWN_EXCHANGE: Final = ""
"""Key of rows of no known exchange."""

WINDOW_KEY: Final[Columns] = CANDLE_KEY
"""Key of a candle within an exchange."""


@dataclass(frozen=True)
class Batch:
    """Rows of one shard of an exchange on their way to the tables.

    `tables`: frames by the name of their table. `trades`: new TRADES with vendor columns.
    `trades_received`: how many trades came, duplicates included. `stale_windows`: WINDOW_KEY of
    candles to recompute from all their trades once these rows are stored. `late_trades`: TRADES of
    those candles in this batch. `watermark`: windows that end by then are closed; microseconds
    since 1970. `gap_state`: the gap state after the batch. `recertify`: stored candles that need
    another certificate; set if any window is stale. `shard`: to which all trades belong.
    """

    exchange: str
    tables: dict[str, pl.DataFrame]
    trades: pl.DataFrame = field(default_factory=lambda: empty(TRADES))
    trades_received: int = 0
    stale_windows: pl.DataFrame = field(default_factory=lambda: empty(WINDOW_KEY))
    late_trades: pl.DataFrame = field(default_factory=lambda: empty(TRADES))
    watermark: int = 0
    gap_state: GapState = NO_GAPS
    recertify: Recertification | None = None
    shard: Shard = WHOLE

    @property
    def estimated_bytes(self) -> int:
        """About how much memory the tables take."""
        return int(sum(frame.estimated_size() for frame in self.tables.values()))

    @property
    def rows(self) -> int:
        """Number of rows in all tables."""
        return sum(frame.height for frame in self.tables.values())
