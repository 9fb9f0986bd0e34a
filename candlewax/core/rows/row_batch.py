"""A batch of rows on its way to the tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles.certificate import Recertification
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Trade
from candlewax.core.schema import TRADES, empty
from candlewax.core.shards import WHOLE, Shard

SMALL_BATCH_ROWS: Final = 500
"""Frames of a batch that are read row by row; more are read as columns."""

SMALL_BATCH_CHARACTERS: Final = 1 << 18
"""Characters up to which they are: a frame of REST or of a dump may hold thousands of trades."""

FRAME_BYTES: Final = 400
"""About how much memory a frame and its trade take besides the text."""


_NO_WINDOWS: Final = empty(WINDOW_KEY)
_NO_TRADES: Final = empty(TRADES)
"""Shared by batches, as creating a frame takes longer than reading a trade."""


@dataclass(frozen=True)
class RowBatch:
    """Rows of one shard of an exchange; as `Batch`, but before they become columns.

    `decoded` are its frames, of whose trades each is new. `candles` are the rows of those that
    changed. `tells_watermark` says that the watermark belongs into its table. `stores_trades` is
    False if another process stores frames and trades.
    """

    exchange: str
    decoded: DecodedRows
    gap_state: GapState = NO_GAPS
    candles: Sequence[CandleRow] = ()
    watermark: int = 0
    tells_watermark: bool = False
    stale_windows: pl.DataFrame = field(default_factory=lambda: _NO_WINDOWS)
    late_trades: pl.DataFrame = field(default_factory=lambda: _NO_TRADES)
    recertify: Recertification | None = None
    stores_trades: bool = True
    shard: Shard = WHOLE

    @property
    def trades(self) -> Sequence[Trade]:
        """New trades of the batch."""
        return self.decoded.trades

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        if not self.stores_trades:
            return len(self.candles)
        decoded = self.decoded
        stored = len(decoded.frames) + len(decoded.trades) + len(decoded.dead_letters)
        return stored + len(self.candles)

    @property
    def estimated_bytes(self) -> int:
        """About how much memory the batch holds."""
        frames, trades = self.decoded.frames, self.decoded.trades
        rows = max(self.rows, len(trades))
        return sum(len(frame.text) for frame in frames) + FRAME_BYTES * rows


AnyBatch = Batch | RowBatch
"""A batch of either form."""
