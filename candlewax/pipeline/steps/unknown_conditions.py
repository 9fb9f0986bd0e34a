"""Conditions of trades that no rule explains: counted and logged by value."""

import logging
from collections import Counter
from typing import Final

import polars as pl

from candlewax.exchanges import Exchange
from candlewax.runtime.counters import Counters

MOST_VALUES: Final = 50
"""Values of an exchange that are counted by name: a feed may bring any number of them."""

OTHERS: Final = "(others)"
"""The name under which all further values are counted together."""

_LONGEST: Final = 60
"""Characters of a value that are shown."""

_log: Final = logging.getLogger(__name__)


class UnknownConditions:
    """Counts trades whose condition is none of those the exchange is known to send.

    Such trades are stored and take no part in candles, which may be wrong.
    """

    def __init__(self, tally: Counters) -> None:
        self._tally = tally
        self._met: dict[str, set[str]] = {}

    def count(self, exchange: Exchange, conditions: pl.Series) -> None:
        """Count the unknown values among the conditions (String, null if ordinary)."""
        if conditions.null_count() == conditions.len():
            return
        for condition, trades in Counter(conditions.drop_nulls().to_list()).items():
            if condition not in exchange.known_conditions:
                name = self._name(exchange.id, condition[:_LONGEST])
                self._tally.increment(trades, "unknown_conditions", exchange.id, name)

    def _name(self, exchange: str, condition: str) -> str:
        """Return the name to count a value by; log each value once."""
        met = self._met.setdefault(exchange, set())
        if condition in met:
            return condition
        if len(met) >= MOST_VALUES:
            return OTHERS
        met.add(condition)
        _log.warning(
            "%s: trades carry the condition %r, whose meaning is not known; they are stored and"
            " kept out of candles",
            exchange,
            condition,
        )
        return condition
