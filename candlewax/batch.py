"""What flows from step to step once frames are read."""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.certificate import NAMES, Evidence
from candlewax.gaps import NOTHING, SPANS, Knowledge
from candlewax.schema import TRADES, Columns, empty

NOWHERE: Final = ""
"""The key of what belongs to no known exchange."""

WINDOWS: Final[Columns] = NAMES
"""Names of candles."""


@dataclass(frozen=True)
class Batch:
    """Rows of one exchange on their way to the tables.

    `tables`: frames by the name of their table. `trades`: TRADES with vendor columns,
    each seen for the first time. `read`: how many trades came, also seen ones.
    `stale`: WINDOWS of candles that are to be computed anew from all their trades once
    these rows are stored; `late`: TRADES of them that came just now. `watermark`: by
    when candles are closed, in microseconds since 1970. `known`: what is known of the
    exchange's trades that have not been seen. `spans`: the SPANS in which certificates of
    stored candles may be wrong now; `begins`: those of all others may be too, as nothing
    is known of the process before. `evidence`: what they follow from.
    """

    exchange: str
    tables: dict[str, pl.DataFrame]
    trades: pl.DataFrame = field(default_factory=lambda: empty(TRADES))
    read: int = 0
    stale: pl.DataFrame = field(default_factory=lambda: empty(WINDOWS))
    late: pl.DataFrame = field(default_factory=lambda: empty(TRADES))
    watermark: int = 0
    known: Knowledge = NOTHING
    spans: pl.DataFrame = field(default_factory=lambda: empty(SPANS))
    evidence: Evidence = field(default_factory=Evidence)
    begins: bool = False

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(frame.height for frame in self.tables.values())
