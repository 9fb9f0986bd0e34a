"""Trades over some minutes that a simulated exchange shows by REST, and their candles."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from candlewax.simulator.exchanges.registry import markets_of
from candlewax.simulator.market.market import Market, Trade
from candlewax.simulator.server import Simulator

MINUTE_US = 60_000_000


def begin_s(minutes: int = 30) -> int:
    """The start of a whole minute in the past, so many minutes ago; its candles are final."""
    return int(time.time()) // 60 * 60 - 60 * minutes


@dataclass(frozen=True)
class MinuteCandle:
    """The candle of one minute, by the book: Decimal and nothing else."""

    start_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    buy_volume: Decimal
    buy_quote_volume: Decimal
    trade_count: int


def market_of(exchange: str) -> Market:
    """The first market of an exchange."""
    return markets_of(exchange)[0]


def trades_of(market: Market, begin: int, counts: Sequence[int]) -> list[Trade]:
    """Trades of minutes from `begin` on, as many in each as `counts` says."""
    number, trades = market.first_id, []
    for minute, count in enumerate(counts):
        for place in range(count):
            time_us = begin * 1_000_000 + minute * MINUTE_US + place * 1_000_000
            price = market.price + 17 * minute - 5 * place
            trades.append(
                Trade(
                    market,
                    number,
                    time_us,
                    price,
                    3 + 7 * place + minute,
                    place % 3 == 0,
                    False,
                    number,
                )
            )
            number += 1
    return trades


def publish(simulator: Simulator, trades: Sequence[Trade]) -> None:
    """Let the exchange show trades by REST."""
    for trade in trades:
        simulator.published.add(trade, trade.time_us * 1000, skipped=False)


def candles_of(trades: Sequence[Trade]) -> dict[int, MinuteCandle]:
    """The candles of trades without a condition, in their order, by start in seconds."""
    minutes: dict[int, list[Trade]] = {}
    for trade in trades:
        if not trade.condition:
            minutes.setdefault(trade.time_us // MINUTE_US * 60, []).append(trade)
    candles = {}
    for start, own in minutes.items():
        market = own[0].market
        prices = [Decimal(t.price).scaleb(-market.price_decimals) for t in own]
        lots = [Decimal(t.quantity).scaleb(-market.lot_decimals) for t in own]
        values = [price * quantity for price, quantity in zip(prices, lots, strict=True)]
        bought = [t.bought for t in own]
        candles[start] = MinuteCandle(
            start,
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(lots, Decimal()),
            sum(values, Decimal()),
            sum((q for q, b in zip(lots, bought, strict=True) if b), Decimal()),
            sum((v for v, b in zip(values, bought, strict=True) if b), Decimal()),
            len(own),
        )
    return candles
