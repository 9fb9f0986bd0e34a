"""Contradictions among the trades of one exchange: found, and taken out of their frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import polars as pl

from candlewax.core.gaps.numberings import series
from candlewax.core.gaps.sequence_ranges import SequenceRanges
from candlewax.core.schema import KIND_DEAD, empty
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.dead_letters import letters
from candlewax.core.trades.identity import (
    CONTENT,
    RecentTrades,
    content,
    contradiction_faults,
    contradictions,
    gone,
    is_same_time,
    not_repeated,
)
from candlewax.core.trades.limits import AHEAD_US, SLACK_US


class StoredContent(Protocol):
    """Reads the content of stored trades (CONTENT) by the numbers of others."""

    def near(self, exchange: str, came: pl.DataFrame) -> pl.DataFrame:
        """Return those that happened about when the others did."""

    def by_number(self, exchange: str, came: pl.DataFrame) -> pl.DataFrame:
        """Return all of them."""

    def kept_since(self) -> int:
        """Return since when all that was stored is there, in microseconds since 1970."""


@dataclass(frozen=True)
class Found:
    """Of trades under known numbers those that contradict, as `contradictions` says it; and how
    many could not be compared and count as repeats by their times.
    """

    contradictions: pl.DataFrame
    uncompared: int = 0


@cache
def _nothing() -> Found:
    return Found(gone(empty({"place": pl.UInt32, **CONTENT})))


class ContradictionFinder:
    """Compares each trade that comes under a known number with the one known by it.

    The trades let through last are remembered, as they may not be stored yet; all others are
    looked up, and only if a number comes again.
    """

    def __init__(self, exchange: str, stored: StoredContent) -> None:
        self._exchange = exchange
        self._stored = stored
        self._recent = RecentTrades(self._are_stored)

    def find(
        self, trades: pl.DataFrame, admission: Admission, numbered: Mapping[str, SequenceRanges]
    ) -> Found:
        """Return which of trades (TRADES) contradict others. `numbered` are the numbers known,
        by series, once these trades are admitted.
        """
        has_number = trades["sequence"] > 0
        self._recent.add(trades.filter(admission.fresh & has_number))
        if admission.fresh.all():
            return _nothing()
        came = content(trades).filter(~admission.fresh & has_number)
        left = not_repeated(came, self._recent.find(came)) if came.height else came
        if left.height:
            left = not_repeated(left, self._stored.near(self._exchange, left))
        if left.is_empty():
            return _nothing()
        known = pl.concat([self._recent.find(left), self._stored.by_number(self._exchange, left)])
        found = contradictions(left, known)
        lost = left.join(found, on="place", how="anti")
        fits = self._fitting(lost, admission.numbering, numbered)
        others = gone(lost.filter(~fits)).select(found.columns)
        return Found(pl.concat([found, others]).sort("place"), int(fits.sum()))

    def _fitting(
        self,
        lost: pl.DataFrame,
        numbering: pl.Series | None,
        numbered: Mapping[str, SequenceRanges],
    ) -> pl.Series:
        """Return which trades (CONTENT with `place`), of whose numbers nothing is stored, may be
        what retention dropped (Boolean).
        """
        # What happened later than this was stored later than what may be gone.
        latest = self._stored.kept_since() + AHEAD_US
        rows = lost.select("place", "symbol", "sequence", pl.col("timestamp").cast(pl.Int64))
        found = []
        for place, symbol, number, time in rows.iter_rows():
            ranges = numbered.get(series(symbol, numbering[place] if numbering is not None else 0))
            times = ranges.times(number) if ranges else None
            found.append(time < latest and times is not None and _fits(time, *times))
        return pl.Series(found, dtype=pl.Boolean)

    def _are_stored(self, some: pl.DataFrame) -> bool:
        """Whether all of some trades (CONTENT) are stored."""
        came = some.with_row_index("place")
        return not_repeated(came, self._stored.near(self._exchange, some)).is_empty()


def _fits(time: int, earliest: int, latest: int) -> bool:
    """Return whether a trade that happened between two times may be one of a time."""
    if earliest == latest:
        return is_same_time(time, earliest)
    return earliest - SLACK_US <= time <= latest + SLACK_US


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
