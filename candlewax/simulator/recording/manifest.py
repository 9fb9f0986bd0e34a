"""What a recording of the simulator holds, counted as it was put in.

Nothing here reads a frame, so that a reader can be held against it.
"""

from collections.abc import Sequence
from typing import Any

from candlewax.simulator.frames.trades import iso
from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import decimal_text
from candlewax.simulator.recording.connections import Sent

Symbol = tuple[str, str]
"""Exchange and unified symbol."""

Distinct = dict[Symbol, dict[int, Trade]]
"""Each trade once, by its id."""


def counted(sent: Sequence[Sent]) -> dict[str, Any]:
    """Counts by exchange and by market.

    `trades` counts what came, `distinct_trades` each trade once; `duplicates` is the
    difference. `missing_ids` counts the ids between a market's first and last that
    never came. Times are those of trades, as their exchange tells them.
    """
    distinct: Distinct = {}
    for one in sent:
        for trade in one.trades:
            symbol = (one.exchange, trade.market.symbol)
            distinct.setdefault(symbol, {}).setdefault(trade.trade_id, trade)
    return {
        "exchanges": {
            name: _exchange([one for one in sent if one.exchange == name], distinct)
            for name in sorted({one.exchange for one in sent})
        },
        "markets": {" ".join(symbol): _market(distinct[symbol]) for symbol in sorted(distinct)},
    }


def _exchange(sent: Sequence[Sent], distinct: Distinct) -> dict[str, Any]:
    name = sent[0].exchange
    markets = [once for (exchange, _), once in distinct.items() if exchange == name]
    times = [_time_us(trade) for once in markets for trade in once.values()]
    delivered = sum(len(one.trades) for one in sent)
    return {
        "frames": len(sent),
        "trade_frames": sum(bool(one.trades) for one in sent),
        "control_frames": sum(not (one.trades or one.dead) for one in sent),
        "dead_frames": sum(one.dead for one in sent),
        "bad_trades_in_good_frames": sum(one.bad for one in sent),
        "trades": delivered,
        "distinct_trades": len(times),
        "duplicates": delivered - len(times),
        "missing_ids": sum(map(_missing, markets)),
        "first_time": iso(min(times)),
        "last_time": iso(max(times)),
    }


def _market(once: dict[int, Trade]) -> dict[str, Any]:
    market = next(iter(once.values())).market
    volume = sum(trade.quantity for trade in once.values())
    return {
        "trades": len(once),
        "with_conditions": sum(bool(trade.condition) for trade in once.values()),
        "volume": decimal_text(volume, market.lot_decimals),
        "missing_ids": _missing(once),
    }


def _missing(once: dict[int, Trade]) -> int:
    numbered = next(iter(once.values())).market.numbered
    return max(once) - min(once) + 1 - len(once) if numbered else 0


def _time_us(trade: Trade) -> int:
    """Binance tells times in milliseconds."""
    coarse = trade.market.exchange.startswith("binance")
    return trade.time_us // 1000 * 1000 if coarse else trade.time_us
