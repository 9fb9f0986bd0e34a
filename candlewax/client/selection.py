"""Selections of series to export: candles of timeframes, or bars of rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from candlewax.client.bar_pages import count_bars, read_bars, stored_rules
from candlewax.client.reader import Reader
from candlewax.client.request import ALL_TIME, Market, RequestError, Span
from candlewax.core.bars.rules import BarRule


class Series(NamedTuple):
    """Candles of a timeframe, or bars of a rule, of one market."""

    market: Market
    step: str | BarRule

    def __str__(self) -> str:
        return f"{self.market} {self.step}"


@dataclass(frozen=True)
class Selection:
    """Series to export, either all of candles or all of bars; their time range and states."""

    series: tuple[Series, ...]
    span: Span = ALL_TIME
    closed: bool = False
    complete: bool = False

    @property
    def are_bars(self) -> bool:
        """Return whether the series are of bars."""
        return any(isinstance(one.step, BarRule) for one in self.series)

    @property
    def noun(self) -> str:
        """Return what the rows of the series are."""
        return "bar" if self.are_bars else "candle"

    def pages(self, reader: Reader, series: Series) -> Iterator[pl.DataFrame]:
        """Yield pages of a series: CANDLE or BAR, oldest first."""
        market, step = series
        if isinstance(step, BarRule):
            return read_bars(
                reader, market, step, self.span, closed=self.closed, complete=self.complete
            )
        return reader.candles(market, step, self.span, closed=self.closed, complete=self.complete)

    def count(self, reader: Reader) -> int:
        """Return how many rows of the series are in the time range, whatever their state."""
        return sum(
            count_bars(reader, market, step, self.span)
            if isinstance(step, BarRule)
            else reader.count(market, step, self.span)
            for market, step in self.series
        )


def series_of_candles(markets: Sequence[Market], timeframes: Sequence[str]) -> tuple[Series, ...]:
    """Return the series of several markets and timeframes."""
    return tuple(Series(market, timeframe) for market in markets for timeframe in timeframes)


def series_of_bars(
    reader: Reader, markets: Sequence[Market], rules: Sequence[BarRule]
) -> tuple[Series, ...]:
    """Return the stored series of several markets and rules.

    Raises RequestError for a rule of which no market has bars; it names those that there are.
    """
    stored = {market: stored_rules(reader, market) for market in markets}
    there = list(dict.fromkeys(rule for rules in stored.values() for rule in rules))
    for rule in rules:
        if rule not in there:
            text = f"takes one that is stored: {', '.join(map(str, there))}"
            raise RequestError(f"bars: got {rule}, {text if there else 'but none are stored'}")
    return tuple(
        Series(market, rule) for market in markets for rule in rules if rule in stored[market]
    )
