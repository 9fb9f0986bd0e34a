"""What the tables must hold, computed the slow way: lists, dictionaries, Decimal.

Nothing here calls the program under test.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
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
    asked_for: bool = False

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


Outages = dict[str, list[tuple[int, int]]]
"""By exchange, when no connection was alive, in microseconds since 1970."""


def certificates(
    fills: Iterable[Fill], outages: Outages | None = None, grace: int = 1_000_000
) -> dict[Window, dict[str, Any]]:
    """The certificates of the candles of these trades, in the order they came."""
    came = distinct(fills)
    marks = watermarks(came, grace)
    markets: dict[tuple[str, str], list[Fill]] = {}
    for fill in came:
        markets.setdefault((fill.exchange, fill.symbol), []).append(fill)
    found: dict[Window, dict[str, Any]] = {}
    for window, inside in _windows(came).items():
        timeframe, exchange, symbol, start = window
        begin, end = start * 1_000_000, (start + LENGTHS[timeframe]) * 1_000_000
        missing, began = _missing(markets[exchange, symbol], begin, end)
        status = "complete"
        if end > marks[exchange]:
            status = "forming"
        elif any(not fill.sequence for fill in inside):
            status = "unverified"
        elif missing:
            status = "gaps"
        elif began:
            status = "partial"
        down = sum(
            max(0, min(end, until) - max(begin, since))
            for since, until in (outages or {}).get(exchange, [])
        )
        found[window] = {
            "missing": missing,
            "status": status,
            "feed_down_ms": down // 1000,
            "repaired": sum(fill.asked_for for fill in inside),
            "revision": 0,
        }
    _count_late(came, found, grace)
    return found


def _windows(fills: Iterable[Fill]) -> dict[Window, list[Fill]]:
    windows: dict[Window, list[Fill]] = {}
    for fill in fills:
        if not fill.conditions:
            for timeframe, length in LENGTHS.items():
                start = fill.time // 1_000_000 // length * length
                windows.setdefault((timeframe, fill.exchange, fill.symbol, start), []).append(fill)
    return windows


def _missing(fills: list[Fill], begin: int, end: int) -> tuple[int, bool]:
    """How many numbers of a symbol are missing that may belong to a window, and whether
    the symbol began in it.
    """
    times = {fill.sequence: fill.time for fill in fills if fill.sequence}
    numbers = sorted(times)
    missing = 0
    for one, other in pairwise(numbers):
        before, after = sorted((times[one], times[other]))
        if before < end and after >= begin:
            missing += other - one - 1
    began = bool(numbers) and numbers[0] > 1 and begin <= times[numbers[0]] < end
    return missing, began


def _count_late(came: list[Fill], found: dict[Window, dict[str, Any]], grace: int) -> None:
    latest: dict[str, int] = {}
    for fill in came:
        mark = max(0, latest.get(fill.exchange, 0) - grace)
        for timeframe, exchange, symbol, start in _windows([fill]):
            if (start + LENGTHS[timeframe]) * 1_000_000 <= mark:
                found[timeframe, exchange, symbol, start]["revision"] += 1
        latest[fill.exchange] = max(fill.time, latest.get(fill.exchange, 0))
