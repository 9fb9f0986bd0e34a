"""What flows from step to step once frames are read."""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.schema import TIME, Columns

WINDOWS: Final[Columns] = {"timeframe": pl.Int8, "symbol": pl.String, "window_start": TIME}
"""Names of candles."""


@dataclass(frozen=True)
class Batch:
    """Rows of one exchange on their way to the tables.

    `tables`: frames by the name of their table. `stale`: WINDOWS of candles that
    are to be computed anew from all their trades once these rows are stored.
    `watermark`: by when candles are closed, in microseconds since 1970.
    """

    exchange: str
    tables: dict[str, pl.DataFrame]
    stale: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=WINDOWS))
    watermark: int = 0

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(frame.height for frame in self.tables.values())
