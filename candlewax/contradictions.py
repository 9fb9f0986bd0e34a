"""Contradictions among the trades of one exchange: found, and taken out of their frames."""

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from candlewax.dead_letters import letters
from candlewax.identity import (
    RecentTrades,
    content,
    contradiction_faults,
    contradictions,
    not_repeated,
)
from candlewax.schema import KIND_DEAD


class StoredContent(Protocol):
    """Reads the content of stored trades (CONTENT) by the numbers of others."""

    def near(self, exchange: str, came: pl.DataFrame) -> pl.DataFrame:
        """Return those that happened about when the others did."""

    def by_number(self, exchange: str, came: pl.DataFrame) -> pl.DataFrame:
        """Return all of them."""


class ContradictionFinder:
    """Compares each trade that comes under a known number with the one known by it.

    The trades let through last are remembered, as they may not be stored yet; all others are
    looked up, and only if a number comes again.
    """

    def __init__(self, exchange: str, stored: StoredContent) -> None:
        self._exchange = exchange
        self._stored = stored
        self._recent = RecentTrades()

    def find(self, trades: pl.DataFrame, fresh: pl.Series) -> pl.DataFrame:
        """Return what `contradictions` says of trades (TRADES), of which the fresh ones
        (Boolean) were let through.

        A trade whose number is known by a trade that is no longer stored counts as a repeat.
        """
        numbered = trades["sequence"] > 0
        self._recent.add(trades.filter(fresh & numbered))
        came = content(trades).filter(~fresh & numbered)
        left = not_repeated(came, self._recent.find(came)) if came.height else came
        if left.height:
            left = not_repeated(left, self._stored.near(self._exchange, left))
        if left.is_empty():
            return left
        known = self._recent.find(left), self._stored.by_number(self._exchange, left)
        return contradictions(left, pl.concat(known))


@dataclass(frozen=True)
class Withdrawn:
    """Frames (BRONZE) without the contradictions among their trades, and DEAD_LETTERS of these."""

    bronze: pl.DataFrame
    dead_letters: pl.DataFrame


def withdraw(bronze: pl.DataFrame, trades: pl.DataFrame, found: pl.DataFrame) -> Withdrawn:
    """Take contradictions found among trades (TRADES with `row`) out of their frames (BRONZE): a
    frame that holds no other trade is dead.
    """
    counts = trades["row"][found["place"]].value_counts()
    rows, fewer = counts["row"], counts["count"].cast(pl.UInt16)
    left = bronze["trades"][rows] - fewer
    kinds = pl.select(pl.when(left == 0).then(KIND_DEAD).otherwise(bronze["kind"][rows]))
    bronze = bronze.with_columns(
        bronze["trades"].scatter(rows, left),
        bronze["kind"].scatter(rows, kinds.to_series().cast(pl.Int8)),
    )
    return Withdrawn(bronze, letters(bronze, contradiction_faults(found, trades)))
