"""Consolidated candles computed the slow way from trades: lists, dictionaries, Decimal."""

from collections.abc import Collection, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any

from tests.support import oracle
from tests.support.oracle import LENGTHS, Fill

Market = tuple[str, str]
Comparison = tuple[str, int]
"""Result of the comparison of a minute, and the number of its trades then."""

Comparisons = Mapping[tuple[str, str, int], Comparison]
"""By exchange, symbol, and the minute's begin in seconds since 1970."""

MINUTE_US = 60_000_000

RANK = ("forming", "unverified", "gaps", "partial", "complete")


def cut(value: Decimal) -> Decimal:
    """A number without what follows its twelfth decimal."""
    return value.quantize(Decimal("1e-12"), ROUND_DOWN)


def consolidate(
    fills: Sequence[Fill],
    timeframe: str,
    symbols: Collection[str],
    subscribed: Collection[Market] = (),
    comparisons: Comparisons | None = None,
) -> list[dict[str, Any]]:
    """The consolidated candles of trades without conditions that lie within a day.

    `subscribed`: markets that are subscribed all the time. `comparisons`: of their minutes with
    the exchange's own.
    """
    length = LENGTHS[timeframe]
    certificates = oracle.certificates(fills)
    chosen = [fill for fill in fills if fill.symbol in symbols]
    markets = {(fill.exchange, fill.symbol) for fill in chosen} | {
        market for market in subscribed if market[1] in symbols
    }
    with localcontext() as context:
        context.prec = 80
        return [
            _candle(
                chosen,
                start,
                length,
                sorted(markets),
                subscribed,
                certificates,
                timeframe,
                comparisons or {},
            )
            for start in sorted({fill.time // 1_000_000 // length * length for fill in chosen})
        ]


def _candle(
    fills: Sequence[Fill], start: int, length: int, markets: Sequence[Market],
    subscribed: Collection[Market], certificates: dict[oracle.Window, dict[str, Any]],
    timeframe: str, comparisons: Comparisons,
) -> dict[str, Any]:  # fmt: skip
    begin, end = start * 1_000_000, (start + length) * 1_000_000
    parts = []
    for market in markets:
        own = sorted((f for f in fills if (f.exchange, f.symbol) == market), key=lambda f: f.order)
        inside = [fill for fill in own if begin <= fill.time < end]
        if inside:
            certificate = certificates[timeframe, *market, start]
            parts.append((market, certificate["status"], inside, certificate["missing"]))
        elif state := _state_of_none(own, begin, end, is_subscribed=market in subscribed):
            parts.append((market, state, [], 0))
    traded = [(market, inside) for market, _, inside, _ in parts if inside]
    first = min(traded, key=lambda part: (part[1][0].time, part[0]))[1][0]
    last = max(traded, key=lambda part: (part[1][-1].time, part[0]))[1][-1]
    all_fills = [fill for _, inside in traded for fill in inside]
    volume = sum((fill.quantity for fill in all_fills), Decimal(0))
    quote_volume = sum((fill.quantity * fill.price for fill in all_fills), Decimal(0))
    closes = [(inside[-1].price, market) for market, inside in traded]
    high, low = max(closes)[0], min(closes)[0]
    proofs = {
        market: _proof(state, inside, _minutes(market, start, length, comparisons))
        for market, state, inside, _ in parts
    }
    status = _status([(state, proofs[market]) for market, state, _, _ in parts])
    several = len(traded) > 1
    return {
        "window_start": start,
        "open": first.price,
        "high": max(fill.price for fill in all_fills),
        "low": min(fill.price for fill in all_fills),
        "close": last.price,
        "volume": volume,
        "quote_volume": quote_volume,
        "vwap": cut(quote_volume / volume),
        "trade_count": len(all_fills),
        "buy_volume": sum((fill.quantity for fill in all_fills if fill.bought), Decimal(0)),
        "open_time": first.time,
        "close_time": last.time,
        "closed": status != "forming",
        "status": status,
        "trusted": status == "complete",
        "missing": sum(missing for *_, missing in parts),
        "venues": len(traded),
        "absent": sum(state == "absent" for _, state, _, _ in parts),
        "high_close": high,
        "high_close_market": min(market for price, market in closes if price == high),
        "low_close": low,
        "low_close_market": min(market for price, market in closes if price == low),
        "spread": high - low if several else None,
        "spread_bps": cut((high - low) * 10_000 / low) if several else None,
        "parts": [
            {
                "exchange": market[0],
                "symbol": market[1],
                "state": state,
                "close": inside[-1].price if inside else None,
                "volume": sum((fill.quantity for fill in inside), Decimal(0)),
                "trade_count": len(inside),
                "missing": missing,
                "share": cut(sum((fill.quantity for fill in inside), Decimal(0)) / volume),
                "proof": proofs[market],
            }
            for market, state, inside, missing in parts
        ],
    }


def _status(parts: Sequence[tuple[str, str]]) -> str:
    """The status of a candle whose parts have these states and proofs."""
    if any(state == "forming" for state, _ in parts):
        return "forming"
    unproven = [
        "partial" if state == "absent" else state for state, proof in parts if proof == "none"
    ]
    if not unproven:
        return "complete"
    return next((s for s in RANK if s in unproven and s != "complete"), "unverified")


def _minutes(
    market: Market, start: int, length: int, comparisons: Comparisons
) -> dict[int, Comparison | None]:
    return {
        minute: comparisons.get((*market, minute)) for minute in range(start, start + length, 60)
    }


def _proof(state: str, inside: Sequence[Fill], minutes: dict[int, Comparison | None]) -> str:
    """Return what shows that a part has all trades."""
    now = {
        minute: sum(fill.time // MINUTE_US * 60 == minute for fill in inside) for minute in minutes
    }
    if any(
        one and one[0] == "differs" and (len(minutes) > 1 or one[1] == now[minute])
        for minute, one in minutes.items()
    ):
        return "none"
    if state in {"complete", "empty"}:
        return "numbers"
    is_equal = inside and all(one == ("equal", now[minute]) for minute, one in minutes.items())
    return "exchange" if is_equal and state != "forming" else "none"


def _state_of_none(own: Sequence[Fill], begin: int, end: int, *, is_subscribed: bool) -> str | None:
    """What is known of a window without a trade; None if the market takes no part in it."""
    before = [fill for fill in own if fill.time < begin]
    after = [fill for fill in own if fill.time >= end]
    if before and after:
        one, other = before[-1].sequence, after[0].sequence
        return "empty" if one and other == one + 1 else "absent"
    return "absent" if is_subscribed else None
