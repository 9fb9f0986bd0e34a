"""What the tables must hold, computed the slow way: lists, dictionaries, Decimal.

Nothing here calls the program under test.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LENGTHS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "1d": 86400}
"""Timeframes in seconds."""

Window = tuple[str, str, str, int]
"""timeframe, exchange, symbol, window_start in seconds since 1970."""


@dataclass(frozen=True)
class Fill:
    """A trade as its exchange means it; times in microseconds since 1970."""

    exchange: str
    symbol: str
    trade_id: str
    sequence: int
    time: int
    bought: bool
    price: Decimal
    quantity: Decimal
    conditions: tuple[str, ...] = ()
    offset: int = 0
    index: int = 0

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes two deliveries the same trade."""
        return self.exchange, self.symbol, self.trade_id

    @property
    def order(self) -> tuple[int, int, int, int, str]:
        """Its place among the trades of a window."""
        return self.time, self.sequence, self.offset, self.index, self.trade_id


def distinct(fills: Iterable[Fill]) -> list[Fill]:
    """Each trade once, as it came first."""
    seen: dict[tuple[str, str, str], Fill] = {}
    for fill in fills:
        seen.setdefault(fill.identity, fill)
    return list(seen.values())


def candles(fills: Iterable[Fill], watermarks: dict[str, int]) -> dict[Window, dict[str, Any]]:
    """The candles of distinct trades; `watermarks` in microseconds by exchange."""
    windows: dict[Window, list[Fill]] = {}
    for fill in fills:
        if fill.conditions:
            continue
        for timeframe, length in LENGTHS.items():
            start = fill.time // 1_000_000 // length * length
            windows.setdefault((timeframe, fill.exchange, fill.symbol, start), []).append(fill)
    return {
        window: _candle(sorted(inside, key=lambda fill: fill.order), window, watermarks)
        for window, inside in windows.items()
    }


def _candle(fills: list[Fill], window: Window, watermarks: dict[str, int]) -> dict[str, Any]:
    timeframe, exchange, _, start = window
    bought = [fill for fill in fills if fill.bought]
    closed = (start + LENGTHS[timeframe]) * 1_000_000 <= watermarks[exchange]
    return {
        "open": fills[0].price,
        "high": max(fill.price for fill in fills),
        "low": min(fill.price for fill in fills),
        "close": fills[-1].price,
        "volume": sum((fill.quantity for fill in fills), Decimal(0)),
        "quote_volume": sum((fill.price * fill.quantity for fill in fills), Decimal(0)),
        "trade_count": len(fills),
        "buy_volume": sum((fill.quantity for fill in bought), Decimal(0)),
        "buy_quote_volume": sum((fill.price * fill.quantity for fill in bought), Decimal(0)),
        "open_time": fills[0].time,
        "close_time": fills[-1].time,
        "first_sequence": fills[0].sequence,
        "last_sequence": fills[-1].sequence,
        "closed": closed,
        "version": 2 * len(fills) + closed,
    }


def watermarks(fills: Iterable[Fill], grace: int = 1_000_000) -> dict[str, int]:
    """How far candles are closed once all these trades have come."""
    latest: dict[str, int] = {}
    for fill in fills:
        latest[fill.exchange] = max(fill.time, latest.get(fill.exchange, 0))
    return {exchange: max(0, time - grace) for exchange, time in latest.items()}
