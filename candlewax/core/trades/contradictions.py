"""Contradictions among the trades of one exchange: search, and removal from their frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import polars as pl

from candlewax.core.gaps.numberings import series
from candlewax.core.gaps.sequence_ranges import SequenceRanges
from candlewax.core.rows.records import Trade
from candlewax.core.schema import KIND_DEAD, empty
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.dead_letters import dead_letter_rows
from candlewax.core.trades.identity import (
    CONTENT,
    contradiction_faults,
    drop_repeats,
    is_same_time,
    pair_with_nulls,
    pair_with_stored,
    select_content,
)
from candlewax.core.trades.limits import AHEAD_US, SLACK_US
from candlewax.core.trades.recent_trades import ContentRow, RecentTrades


class StoredContent(Protocol):
    """Reader of stored trades (CONTENT) by the numbers of others."""

    def read_near(self, exchange: str, trades: pl.DataFrame) -> pl.DataFrame:
        """Return the stored trades from about the time of the others."""

    def read_by_number(self, exchange: str, trades: pl.DataFrame) -> pl.DataFrame:
        """Return all stored trades."""

    def retained_since_us(self) -> int:
        """Return since when no stored trade has expired, in microseconds since 1970."""


@dataclass(frozen=True)
class ContradictionResult:
    """Contradictions in a batch, as `pair_with_stored` returns them.

    `uncompared_count`: trades whose stored content has expired. They count as duplicates, as their
    times fit.
    """

    contradictions: pl.DataFrame
    uncompared_count: int = 0


@cache
def _no_contradictions() -> ContradictionResult:
    return ContradictionResult(pair_with_nulls(empty({"place": pl.UInt32, **CONTENT})))


class ContradictionFinder:
    """Search for contradictions: compares each trade under a known number with the known one.

    Recent new trades are kept in memory, as they may not be stored yet. All others are queried,
    only if a number comes again.
    """

    def __init__(self, exchange: str, stored: StoredContent) -> None:
        self._exchange = exchange
        self._stored = stored
        self._recent = RecentTrades(self._are_stored)

    def remember(self, trades: Sequence[Trade]) -> None:
        """Remember new trades."""
        self._recent.add_rows(
            [
                ContentRow(*(getattr(trade, name) for name in ContentRow._fields))
                for trade in trades
                if trade.sequence
            ]
        )

    def find(
        self,
        trades: pl.DataFrame,
        admission: Admission,
        ranges_by_series: Mapping[str, SequenceRanges],
    ) -> ContradictionResult:
        """Return the contradictions of trades (TRADES) with others.

        `ranges_by_series`: the known numbers after this batch, by series.
        """
        has_number = trades["sequence"] > 0
        self._recent.add(trades.filter(admission.is_new & has_number))
        if admission.is_new.all():
            return _no_contradictions()
        repeated_numbers = select_content(trades).filter(~admission.is_new & has_number)
        candidates = (
            drop_repeats(repeated_numbers, self._recent.find(repeated_numbers))
            if repeated_numbers.height
            else repeated_numbers
        )
        if candidates.height:
            candidates = drop_repeats(
                candidates, self._stored.read_near(self._exchange, candidates)
            )
        if candidates.is_empty():
            return _no_contradictions()
        known_trades = pl.concat(
            [self._recent.find(candidates), self._stored.read_by_number(self._exchange, candidates)]
        )
        pairs = pair_with_stored(candidates, known_trades)
        unpaired = candidates.join(pairs, on="place", how="anti")
        may_fit = self._may_be_expired(unpaired, admission.numbering, ranges_by_series)
        without_stored = pair_with_nulls(unpaired.filter(~may_fit)).select(pairs.columns)
        return ContradictionResult(
            pl.concat([pairs, without_stored]).sort("place"), int(may_fit.sum())
        )

    def _may_be_expired(
        self,
        trades: pl.DataFrame,
        numbering: pl.Series | None,
        ranges_by_series: Mapping[str, SequenceRanges],
    ) -> pl.Series:
        """Return which trades (CONTENT with `place`) may be duplicates of expired ones (Boolean).

        Nothing is stored under their numbers.
        """
        # A trade that happened later than this was stored too late to have expired.
        latest_us = self._stored.retained_since_us() + AHEAD_US
        rows = trades.select("place", "symbol", "sequence", pl.col("timestamp").cast(pl.Int64))
        results = []
        for place, symbol, number, time_us in rows.iter_rows():
            ranges = ranges_by_series.get(
                series(symbol, numbering[place] if numbering is not None else 0)
            )
            times = ranges.times(number) if ranges else None
            results.append(
                time_us < latest_us and times is not None and _fits_time(time_us, *times)
            )
        return pl.Series(results, dtype=pl.Boolean)

    def _are_stored(self, trades: pl.DataFrame) -> bool:
        """Return whether all trades (CONTENT) are stored."""
        numbered_trades = trades.with_row_index("place")
        return drop_repeats(
            numbered_trades, self._stored.read_near(self._exchange, trades)
        ).is_empty()


def _fits_time(time_us: int, earliest_us: int, latest_us: int) -> bool:
    """Return whether a trade of a time may have happened between two times."""
    if earliest_us == latest_us:
        return is_same_time(time_us, earliest_us)
    return earliest_us - SLACK_US <= time_us <= latest_us + SLACK_US


@dataclass(frozen=True)
class CleanedFrames:
    """Frames (BRONZE) without their contradictions, and DEAD_LETTERS of these."""

    bronze: pl.DataFrame
    dead_letters: pl.DataFrame


def remove_contradictions(
    bronze: pl.DataFrame, trades: pl.DataFrame, contradictions: pl.DataFrame
) -> CleanedFrames:
    """Remove contradictions among trades (TRADES with `row`) from their frames (BRONZE).

    A frame without another trade is dead.
    """
    counts = trades["row"][contradictions["place"]].value_counts()
    rows, removed_counts = counts["row"], counts["count"].cast(pl.UInt16)
    remaining = bronze["trades"][rows] - removed_counts
    kinds = pl.select(pl.when(remaining == 0).then(KIND_DEAD).otherwise(bronze["kind"][rows]))
    bronze = bronze.with_columns(
        bronze["trades"].scatter(rows, remaining),
        bronze["kind"].scatter(rows, kinds.to_series().cast(pl.Int8)),
    )
    return CleanedFrames(
        bronze, dead_letter_rows(bronze, contradiction_faults(contradictions, trades))
    )
