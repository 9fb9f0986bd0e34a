"""Result of deduplicating a batch of trades."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from candlewax.core.gaps.numberings import Opening


@dataclass(frozen=True)
class Admission:
    """Result of deduplicating a batch of trades.

    `is_new`: trades received for the first time (Boolean). `numbering`: the numbering of each trade
    (UInt32); None if all belong to the first. `openings`: symbols and the numberings that opened.
    """

    is_new: pl.Series
    numbering: pl.Series | None
    openings: Sequence[tuple[str, Opening]] = ()


@dataclass
class AssignedNumberings:
    """Numberings of a batch's trades, other than the first: by symbol, and by place."""

    by_symbol: dict[str, int] = field(default_factory=dict)
    by_place: dict[int, int] = field(default_factory=dict)
    openings: list[tuple[str, Opening]] = field(default_factory=list)

    def column(self, symbols: pl.Series) -> pl.Series | None:
        """Return the numbering of each trade (UInt32); None if all belong to the first."""
        if not self.by_symbol and not self.by_place:
            return None
        names = symbols.cast(pl.String).to_list()
        numberings = [self.by_symbol.get(name, 0) for name in names]
        for place, numbering in self.by_place.items():
            numberings[place] = numbering
        return pl.Series("numbering", numberings, pl.UInt32)
