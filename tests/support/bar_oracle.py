"""Bars computed the slow way: lists, dictionaries, Decimal. Nothing here calls the program."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.support.oracle import Fill

DAY_US = 86_400_000_000


def bars(
    fills: Sequence[Fill], kind: str, threshold: Decimal, watermark: int
) -> dict[tuple[int, int], dict[str, Any]]:
    """The bars of the distinct trades of one market, by day and number."""
    days: dict[int, list[Fill]] = {}
    for fill in sorted(fills, key=lambda one: one.order):
        days.setdefault(fill.time // DAY_US, []).append(fill)
    counted = {
        day: [fill for fill in inside if not fill.conditions] for day, inside in days.items()
    }
    days_with_bars = sorted(day for day, inside in counted.items() if inside)
    found = {}
    for place, day in enumerate(days_with_bars):
        before = counted[days_with_bars[place - 1]][-1].sequence if place else None
        is_final = place + 1 == len(days_with_bars)
        after = None if is_final else counted[days_with_bars[place + 1]][0].sequence
        for number, inside in enumerate(cut(counted[day], kind, threshold)):
            is_full = _amount(inside, kind) >= threshold
            is_last = inside[-1] is counted[day][-1]
            closed = watermark >= (day + 1) * DAY_US or (is_full and inside[-1].time < watermark)
            found[day, number] = {
                **_content(inside),
                **_certificate(days[day], inside, before, after, is_full=is_full, is_last=is_last),
                "closed": closed,
            }
            if not closed:
                found[day, number]["status"] = "forming"
    return found


def cut(fills: Sequence[Fill], kind: str, threshold: Decimal) -> list[list[Fill]]:
    """Trades in bars: each ends with the trade that reaches the threshold."""
    parts: list[list[Fill]] = [[]]
    for fill in fills:
        parts[-1].append(fill)
        if _amount(parts[-1], kind) >= threshold:
            parts.append([])
    return [part for part in parts if part]


def _amount(fills: Sequence[Fill], kind: str) -> Decimal:
    amounts = {
        "tick": [Decimal(1)] * len(fills),
        "volume": [fill.quantity for fill in fills],
        "dollar": [fill.quantity * fill.price for fill in fills],
    }
    return sum(amounts[kind], Decimal(0))


def _content(inside: Sequence[Fill]) -> dict[str, Any]:
    bought = [fill for fill in inside if fill.bought]
    return {
        "open": inside[0].price,
        "high": max(fill.price for fill in inside),
        "low": min(fill.price for fill in inside),
        "close": inside[-1].price,
        "volume": sum((fill.quantity for fill in inside), Decimal(0)),
        "quote_volume": sum((fill.quantity * fill.price for fill in inside), Decimal(0)),
        "trade_count": len(inside),
        "buy_volume": sum((fill.quantity for fill in bought), Decimal(0)),
        "buy_quote_volume": sum((fill.quantity * fill.price for fill in bought), Decimal(0)),
        "open_time": inside[0].time,
        "close_time": inside[-1].time,
        "first_sequence": inside[0].sequence,
        "last_sequence": inside[-1].sequence,
        "repaired": sum(fill.asked_for for fill in inside),
    }


def _certificate(
    day: Sequence[Fill], inside: Sequence[Fill], before: int | None, after: int | None,
    *, is_full: bool, is_last: bool,
) -> dict[str, Any]:  # fmt: skip
    """Missing numbers from midnight on, and what they prove."""
    end = inside[-1].time
    times = {fill.sequence: fill.time for fill in day if fill.sequence}
    missing = sum(
        other - one - 1
        for one, other in pairwise(sorted(times))
        if min(times[one], times[other]) <= end
    )
    begins_unproven = bool(times) and min(times) != 1 and min(times) - 1 != before
    numbered = [fill for fill in day if fill.sequence]
    last = max(numbered, key=lambda fill: (fill.time, fill.sequence), default=None)
    ends_unproven = is_last and (
        (after is not None and last is not None and after != last.sequence + 1)
        or (not is_full and after is None)
    )
    if any(not fill.sequence and not fill.conditions and fill.time <= end for fill in day):
        status = "unverified"
    elif missing:
        status = "gaps"
    elif begins_unproven or ends_unproven:
        status = "partial"
    else:
        status = "complete"
    return {"missing": missing, "status": status}
