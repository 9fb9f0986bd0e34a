"""What certificates must say, computed the slow way: lists, sets, loops over seconds.

Nothing here calls the program under test.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.oracle import LENGTHS, Fill, Window

Market = tuple[str, str]


@dataclass(frozen=True)
class Hole:
    """Numbers that never came; times of the trades beside it, microseconds since 1970."""

    first: int
    last: int
    before: int
    after: int

    @property
    def count(self) -> int:
        """How many numbers it is."""
        return self.last - self.first + 1


def holes(fills: Iterable[Fill]) -> dict[Market, list[Hole]]:
    """The holes of each market, in order."""
    found: dict[Market, list[Hole]] = {}
    for market, times in _times(fills).items():
        numbers = sorted(times)
        for low, high in pairwise(numbers):
            if high > low + 1:
                ends = sorted((times[low], times[high]))
                found.setdefault(market, []).append(Hole(low + 1, high - 1, *ends))
    return found


def _times(fills: Iterable[Fill]) -> dict[Market, dict[int, int]]:
    times: dict[Market, dict[int, int]] = {}
    for fill in fills:
        if fill.sequence:
            times.setdefault((fill.exchange, fill.symbol), {})[fill.sequence] = fill.time
    return times


def certificates(
    fills: Sequence[Fill],
    candles: dict[Window, dict[str, Any]],
    outages: Sequence[tuple[int, int]] = (),
    repaired: Sequence[str] = (),
) -> dict[Window, dict[str, Any]]:
    """The certificate of each candle. `outages` are of all exchanges, apart from each
    other; `repaired` are ids of trades that did not come over the websocket.
    """
    missed, times = holes(fills), _times(fills)
    found = {}
    for window, candle in candles.items():
        timeframe, exchange, symbol, start = window
        begin, end = start * 1_000_000, (start + LENGTHS[timeframe]) * 1_000_000
        inside = [
            fill
            for fill in fills
            if (fill.exchange, fill.symbol) == (exchange, symbol)
            and begin <= fill.time < end
            and not fill.conditions
        ]
        missing = sum(
            hole.count
            for hole in missed.get((exchange, symbol), [])
            if hole.before < end and hole.after >= begin
        )
        numbers = times.get((exchange, symbol), {})
        lowest = min(numbers, default=0)
        began = lowest > 1 and begin <= numbers[lowest] < end
        if not candle["closed"]:
            status = "forming"
        elif any(fill.sequence == 0 for fill in inside):
            status = "unverified"
        elif missing:
            status = "gaps"
        else:
            status = "partial" if began else "complete"
        down = sum(max(0, min(end, to) - max(begin, since)) for since, to in outages)
        found[window] = {
            "missing": missing,
            "status": status,
            "feed_down_ms": down // 1000,
            "repaired": sum(fill.trade_id in repaired for fill in inside),
        }
    return found
