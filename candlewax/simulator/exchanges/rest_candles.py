"""Answers of the simulated exchanges to requests for their one-minute candles.

Sources: Binance Spot API, "Kline/Candlestick data"; Binance USD-M Futures, "Kline/Candlestick
Data"; Kraken API Center, "Get OHLC Data"; Coinbase Exchange, "Get product candles". A minute
without trades is flat, but at Coinbase, which leaves it out.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from candlewax.exchanges.protocol.times import parse_iso_time
from candlewax.simulator.exchanges.rest_request import (
    Answer,
    RestRequest,
    parse_limit,
    parse_number,
    refuse,
)
from candlewax.simulator.exchanges.rest_trades import BINANCE_ROOTS, SPOT_ROOT, kraken_name
from candlewax.simulator.frames.trades import pad_decimals
from candlewax.simulator.market.market import MINUTE_US, Market, Trade
from candlewax.simulator.market.rng import decimal_text

_KRAKEN_ENTRIES: Final = 720
_COINBASE_ENTRIES: Final = 300


@dataclass
class Candle:
    """Candle of the minute that starts at `start_us`; prices in ticks, quantities in lots.

    `value` and `buy_value` are sums of price times quantity, `buy_lots` and `buy_value` those of
    takers who bought.
    """

    start_us: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    value: int = 0
    buy_lots: int = 0
    buy_value: int = 0
    count: int = 0

    def add(self, trade: Trade) -> None:
        """Add the next trade of the minute."""
        value = trade.price * trade.quantity
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.close = trade.price
        self.lots += trade.quantity
        self.value += value
        self.count += 1
        if trade.bought:
            self.buy_lots += trade.quantity
            self.buy_value += value


def build_candles(trades: Sequence[Trade], until_us: int, *, has_empty: bool) -> list[Candle]:
    """Return the candles of trades in the order of their ids, up to a time (us since 1970).

    With `has_empty` each minute behind the first one has a candle.
    """
    by_minute: dict[int, list[Trade]] = {}
    for trade in trades:
        by_minute.setdefault(trade.time_us // MINUTE_US * MINUTE_US, []).append(trade)
    candles: list[Candle] = []
    starts: Sequence[int] = sorted(by_minute)
    if has_empty and starts:
        starts = range(starts[0], max(until_us, starts[-1] + 1), MINUTE_US)
    for start in starts:
        own = sorted(by_minute.get(start, ()), key=lambda trade: (trade.time_us, trade.trade_id))
        first = own[0].price if own else candles[-1].close
        candle = Candle(start, first, first, first, first)
        for trade in own:
            candle.add(trade)
        candles.append(candle)
    return candles


def market_candles(
    request: RestRequest, native_symbol: str, *, has_empty: bool = True
) -> list[Candle]:
    """Return the candles of a market up to now, without a minute of which trades are forgotten."""
    venue = request.venue
    published = venue.published.market_trades(venue.exchange, native_symbol)
    trades = [trade for trade in published.all() if not trade.condition]
    candles = build_candles(trades, time.time_ns() // 1000, has_empty=has_empty)
    return candles if published.has_all else candles[1:]


def amount_writers(market: Market) -> tuple[Callable[[int], str], Callable[[int], str]]:
    """Return what writes a number of ticks, and what writes a number of lots."""
    return (
        lambda ticks: decimal_text(ticks, market.price_decimals),
        lambda lots: decimal_text(lots, market.lot_decimals),
    )


def _binance(request: RestRequest) -> Answer | None:
    root, query = BINANCE_ROOTS[request.venue.exchange], request.query
    is_spot = root == SPOT_ROOT
    if request.path != f"{root}/klines":
        return None
    native_symbol = query.get("symbol", "")
    if not request.venue.is_known(native_symbol):
        raise refuse('{"code":-1121,"msg":"Invalid symbol."}')
    if query.get("interval") != "1m":
        raise refuse('{"code":-1120,"msg":"Invalid interval."}')
    illegal = refuse('{"code":-1100,"msg":"Illegal characters found in a parameter."}')
    limit = parse_limit(query, "limit", 1000 if is_spot else 1500, 500, illegal)
    begin, end = (parse_number(query, name, illegal) for name in ("startTime", "endTime"))
    candles = market_candles(request, native_symbol)
    if begin is None:
        candles = candles[-limit:]
    else:
        first = bisect_left(candles, begin * 1000, key=lambda candle: candle.start_us)
        candles = candles[first : first + limit]
    candles = [candle for candle in candles if end is None or candle.start_us <= end * 1000]
    market = request.venue.markets[native_symbol]
    rows = (_binance_row(candle, market, is_spot=is_spot) for candle in candles)
    return Answer(f"[{','.join(rows)}]")


def _binance_row(candle: Candle, market: Market, *, is_spot: bool) -> str:
    write = pad_decimals if is_spot else str
    price, lots = amount_writers(market)
    value_decimals = market.price_decimals + market.lot_decimals
    texts = [
        *map(price, (candle.open, candle.high, candle.low, candle.close)),
        lots(candle.lots),
        decimal_text(candle.value, value_decimals),
        lots(candle.buy_lots),
        decimal_text(candle.buy_value, value_decimals),
    ]
    first, value, *bought = (
        ",".join(f'"{write(text)}"' for text in part)
        for part in (texts[:5], texts[5:6], texts[6:7], texts[7:])
    )
    start_ms, end_ms = candle.start_us // 1000, (candle.start_us + MINUTE_US) // 1000 - 1
    return f'[{start_ms},{first},{end_ms},{value},{candle.count},{",".join(bought)},"0"]'


def _kraken(request: RestRequest) -> Answer | None:
    if request.path != "0/public/OHLC":
        return None
    query = request.query
    invalid = refuse('{"error":["EGeneral:Invalid arguments"]}', HTTPStatus.OK)
    pair = query.get("pair", "")
    native_symbol = kraken_name(request.venue, pair)
    if native_symbol is None:
        raise refuse('{"error":["EQuery:Unknown asset pair"]}', HTTPStatus.OK)
    if query.get("interval", "1") != "1":
        raise invalid
    since_s = parse_number(query, "since", invalid) or 0
    candles = market_candles(request, native_symbol)[-_KRAKEN_ENTRIES:]
    committed = candles[-2].start_us // 1_000_000 if len(candles) > 1 else 0
    # The last one is always there.
    shown = [candle for candle in candles if candle.start_us > since_s * 1_000_000] or candles[-1:]
    market = request.venue.markets[native_symbol]
    rows = ",".join(_kraken_row(candle, market) for candle in shown)
    return Answer(f'{{"error":[],"result":{{"{pair}":[{rows}],"last":{committed}}}}}')


def _kraken_row(candle: Candle, market: Market) -> str:
    price, lots = amount_writers(market)
    # In ticks, cut: the value is in ticks times lots.
    vwap = candle.value // candle.lots if candle.lots else 0
    prices = (candle.open, candle.high, candle.low, candle.close, vwap)
    texts = ",".join(f'"{price(ticks)}"' for ticks in prices)
    return f'[{candle.start_us // 1_000_000},{texts},"{lots(candle.lots)}",{candle.count}]'


def _coinbase(request: RestRequest) -> Answer | None:
    names, query = request.path.split("/"), request.query
    if len(names) != 3 or names[2] != "candles":
        return None
    if not request.venue.is_known(names[1]):
        raise refuse('{"message":"NotFound"}', HTTPStatus.NOT_FOUND)
    if query.get("granularity") != "60":
        raise refuse('{"message":"Unsupported granularity"}')
    candles = market_candles(request, names[1], has_empty=False)[-_COINBASE_ENTRIES:]
    if "start" in query and "end" in query:
        begin_us, end_us = _time_us(query["start"]), _time_us(query["end"])
        if end_us - begin_us > (_COINBASE_ENTRIES - 1) * MINUTE_US:
            raise refuse('{"message":"granularity too small for the requested time range"}')
        all_candles = market_candles(request, names[1], has_empty=False)
        candles = [candle for candle in all_candles if begin_us <= candle.start_us <= end_us]
    rows = (_coinbase_row(one, request.venue.markets[names[1]]) for one in reversed(candles))
    return Answer(f"[{','.join(rows)}]")


def _time_us(text: str) -> int:
    time_us = parse_iso_time(text)
    if time_us is None:
        raise refuse('{"message":"invalid time"}')
    return time_us


def _coinbase_row(candle: Candle, market: Market) -> str:
    price, lots = amount_writers(market)
    prices = ",".join(map(price, (candle.low, candle.high, candle.open, candle.close)))
    return f"[{candle.start_us // 1_000_000},{prices},{lots(candle.lots)}]"


CANDLE_REPLIES: Final[Mapping[str, Callable[[RestRequest], Answer | None]]] = {
    "binance": _binance,
    "binance_usdm": _binance,
    "binance_coinm": _binance,
    "binance_us": _binance,
    "kraken": _kraken,
    "coinbase": _coinbase,
}
"""Answer of each exchange to a request for candles; None if the request is for something else."""
