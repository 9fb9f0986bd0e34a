"""Counts and logs of unknown trade conditions."""

import logging
from collections import Counter
from typing import Final

import polars as pl

from candlewax.exchanges import Exchange
from candlewax.runtime.counters import Counters

MAX_VALUES: Final = 50
"""Largest number of values counted by name per exchange, as a feed may send any number."""

OTHERS: Final = "(others)"
"""Name under which all further values are counted."""

_MAX_LENGTH: Final = 60
"""Largest number of characters of a value in counts and logs."""

_log: Final = logging.getLogger(__name__)


class UnknownConditions:
    """Counter of trades whose condition is not among the known ones of the exchange.

    Such trades are stored and kept out of candles, which may be wrong.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._seen: dict[str, set[str]] = {}

    def count(self, exchange: Exchange, conditions: pl.Series) -> None:
        """Count the unknown values among the conditions (String, null if ordinary)."""
        if conditions.null_count() == conditions.len():
            return
        for condition, trades in Counter(conditions.drop_nulls().to_list()).items():
            if condition not in exchange.known_conditions:
                name = self._name(exchange.id, condition[:_MAX_LENGTH])
                self._counters.increment(trades, "unknown_conditions", exchange.id, name)

    def _name(self, exchange: str, condition: str) -> str:
        """Return the name to count a value by; log each value once."""
        seen = self._seen.setdefault(exchange, set())
        if condition in seen:
            return condition
        if len(seen) >= MAX_VALUES:
            return OTHERS
        seen.add(condition)
        _log.warning(
            "%s: trades carry the condition %r, whose meaning is not known; they are stored and"
            " kept out of candles",
            exchange,
            condition,
        )
        return condition
