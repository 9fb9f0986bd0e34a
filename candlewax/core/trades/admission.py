"""What became of a batch of trades that a ledger was given."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from candlewax.core.gaps.numberings import Opening


@dataclass(frozen=True)
class Admission:
    """What became of the trades of a batch: which are seen for the first time (Boolean), to
    which numbering each belongs (UInt32; None: all to the first), and which opened, of which
    symbols.
    """

    fresh: pl.Series
    numbering: pl.Series | None
    opened: Sequence[tuple[str, Opening]] = ()


@dataclass
class Assigned:
    """Numberings, other than the first, of the trades of a batch."""

    symbols: dict[str, int] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    opened: list[tuple[str, Opening]] = field(default_factory=list)

    def column(self, symbols: pl.Series) -> pl.Series | None:
        """Return the numbering of each trade (UInt32); None if all belong to the first."""
        if not self.symbols and not self.places:
            return None
        names = symbols.cast(pl.String).to_list()
        found = [self.symbols.get(name, 0) for name in names]
        for place, numbering in self.places.items():
            found[place] = numbering
        return pl.Series("numbering", found, pl.UInt32)
