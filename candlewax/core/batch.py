"""What flows from step to step once frames are read."""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import CANDLE_KEY, Recertification
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.schema import TRADES, Columns, empty

UNKNOWN_EXCHANGE: Final = ""
"""The key of what belongs to no known exchange."""

WINDOW_KEY: Final[Columns] = CANDLE_KEY
"""Names of candles."""


@dataclass(frozen=True)
class Batch:
    """Rows of one exchange on their way to the tables.

    `tables`: frames by the name of their table. `trades`: TRADES with vendor columns, each seen
    for the first time. `trades_received`: how many trades came, duplicates included.
    `stale_windows`: WINDOW_KEY of candles to recompute from all their trades once these rows are
    stored. `late_trades`: TRADES of those candles that came just now. `watermark`: windows that
    end by then are closed; microseconds since 1970. `gap_state`: what is known of trades not
    seen. `recertify`: which stored candles need another certificate; set if any window is stale.
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

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(frame.height for frame in self.tables.values())
