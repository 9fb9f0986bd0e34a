"""Which trades of a batch are new, trade by trade."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from candlewax.core.gaps.numberings import Opening
from candlewax.core.rows.records import Trade
from candlewax.core.schema import TIME
from candlewax.core.trades import unnumbered
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.deduplicator import Deduplicator


@dataclass
class RowAdmission:
    """What became of the trades of a batch: which are new, to which numbering each belongs, and
    which numberings opened, of which symbols.
    """

    is_new: list[bool] = field(default_factory=list)
    numbering: list[int] = field(default_factory=list)
    openings: list[tuple[str, Opening]] = field(default_factory=list)

    def columns(self) -> Admission:
        """Return the same as columns."""
        several = pl.Series("numbering", self.numbering, pl.UInt32) if any(self.numbering) else None
        return Admission(pl.Series("fresh", self.is_new, pl.Boolean), several, self.openings)


def mark_new(
    seen: Deduplicator, trades: Sequence[Trade], *, has_numbering: bool = False
) -> RowAdmission:
    """Tell which trades are seen for the first time, and remember them. Of equal ones the first is
    new. With `has_numbering` each trade says its numbering.
    """
    admission = RowAdmission()
    without_number = []
    for place, trade in enumerate(trades):
        is_new, numbering = True, trade.numbering if has_numbering else 0
        if trade.sequence:
            is_new, numbering, opening = seen.add_number(
                trade.symbol,
                trade.sequence,
                trade.timestamp,
                trade.numbering if has_numbering else None,
            )
            if opening:
                admission.openings.append((trade.symbol, opening))
        else:
            without_number.append((place, trade.symbol, trade.trade_id, trade.timestamp))
        admission.is_new.append(is_new)
        admission.numbering.append(numbering)
    if without_number:
        schema = {
            "place": pl.UInt32,
            "symbol": pl.String,
            "trade_id": pl.String,
            "timestamp": pl.Int64,
        }
        keys = pl.DataFrame(without_number, schema, orient="row")
        keys = keys.with_columns(pl.col("timestamp").cast(TIME))
        for place in unnumbered.add_ids(keys, seen.id_chunks):
            admission.is_new[place] = False
    return admission
