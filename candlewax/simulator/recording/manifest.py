"""Manifest of a recording: counts taken while it was made.

No frame is read here, so that a reader can be checked against the counts.
"""

from collections.abc import Sequence
from typing import Any

from candlewax.simulator.frames.trades import iso
from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import decimal_text
from candlewax.simulator.recording.connections import ReceivedFrame

Symbol = tuple[str, str]
"""Exchange and unified symbol."""

Distinct = dict[Symbol, dict[int, Trade]]
"""Each trade once, by market and id."""


def count_frames(frames: Sequence[ReceivedFrame]) -> dict[str, Any]:
    """Return counts by exchange and by market.

    `trades` counts received trades, `distinct_trades` each trade once; `duplicates` is the
    difference. `missing_ids` counts the ids between a market's first and last that were never
    received. Times are those of the trades, as their exchange tells them.
    """
    distinct: Distinct = {}
    for frame in frames:
        for trade in frame.trades:
            symbol = (frame.exchange, trade.market.symbol)
            distinct.setdefault(symbol, {}).setdefault(trade.trade_id, trade)
    return {
        "exchanges": {
            name: _exchange([frame for frame in frames if frame.exchange == name], distinct)
            for name in sorted({frame.exchange for frame in frames})
        },
        "markets": {" ".join(symbol): _market(distinct[symbol]) for symbol in sorted(distinct)},
    }


def _exchange(frames: Sequence[ReceivedFrame], distinct: Distinct) -> dict[str, Any]:
    name = frames[0].exchange
    markets = [trades_by_id for (exchange, _), trades_by_id in distinct.items() if exchange == name]
    times = [_time_us(trade) for trades_by_id in markets for trade in trades_by_id.values()]
    received = sum(len(frame.trades) for frame in frames)
    return {
        "frames": len(frames),
        "trade_frames": sum(bool(frame.trades) for frame in frames),
        "control_frames": sum(not (frame.trades or frame.is_dead) for frame in frames),
        "dead_frames": sum(frame.is_dead for frame in frames),
        "bad_trades_in_good_frames": sum(frame.bad_trades for frame in frames),
        "trades": received,
        "distinct_trades": len(times),
        "duplicates": received - len(times),
        "missing_ids": sum(map(_count_missing, markets)),
        "first_time": iso(min(times)),
        "last_time": iso(max(times)),
    }


def _market(trades_by_id: dict[int, Trade]) -> dict[str, Any]:
    market = next(iter(trades_by_id.values())).market
    volume = sum(trade.quantity for trade in trades_by_id.values())
    return {
        "trades": len(trades_by_id),
        "with_conditions": sum(bool(trade.condition) for trade in trades_by_id.values()),
        "volume": decimal_text(volume, market.lot_decimals),
        "missing_ids": _count_missing(trades_by_id),
    }


def _count_missing(trades_by_id: dict[int, Trade]) -> int:
    has_ids = next(iter(trades_by_id.values())).market.has_ids
    return max(trades_by_id) - min(trades_by_id) + 1 - len(trades_by_id) if has_ids else 0


def _time_us(trade: Trade) -> int:
    """Return the time of a trade as its exchange tells it; Binance tells milliseconds."""
    coarse = trade.market.exchange.startswith("binance")
    return trade.time_us // 1000 * 1000 if coarse else trade.time_us
