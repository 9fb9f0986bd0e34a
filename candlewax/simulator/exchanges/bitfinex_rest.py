"""Bitfinex's REST: trades, candles and lists of pairs.

Source: Bitfinex API documentation v2, REST Public, "Trades", "Candles", "Configs" and "Tickers".
"""

from http import HTTPStatus
from typing import Any, Final

from candlewax.simulator.exchanges.market_lists import price, volume
from candlewax.simulator.exchanges.rest_candles import Candle, amount_writers, market_candles
from candlewax.simulator.exchanges.rest_request import (
    Answer,
    RestRequest,
    parse_limit,
    parse_number,
    refuse,
    show_page,
)
from candlewax.simulator.frames.trades import price as trade_price
from candlewax.simulator.frames.trades import quantity
from candlewax.simulator.market.market import Market, Trade

LIMITED: Final = '["error",11010,"ratelimit: error"]'

_MOST: Final = 10_000
_TRADES_DEFAULT: Final = 125
_CANDLES_DEFAULT: Final = 100
_NEVER_MS: Final = 2**53
_INVALID: Final = refuse('["error",10020,"limit: invalid"]', HTTPStatus.INTERNAL_SERVER_ERROR)


def trade_row(trade: Trade) -> str:
    """Return a trade as the websocket and REST write it; the amount of a sale is negative."""
    sign = "" if trade.bought else "-"
    return (
        f"[{trade.trade_id},{trade.time_us // 1000},{sign}{quantity(trade)},{trade_price(trade)}]"
    )


def reply_trades(request: RestRequest) -> Answer:
    """Return the answer to a request for trades: newest first, or oldest first with sort=1.

    Lists of markets are answered too.
    """
    if listed := _reply_list(request):
        return listed
    names = request.path.split("/")
    if len(names) != 4 or names[1] != "trades" or names[3] != "hist":
        raise refuse('["error",10020,"path: invalid"]', HTTPStatus.NOT_FOUND)
    _require_known(request, names[2])
    begin, end, limit = _span(request, _TRADES_DEFAULT)
    shown = [trade for trade in request.trades(names[2]) if begin <= trade.time_us // 1000 <= end]
    rows = [trade_row(trade) for trade in show_page(request, _page(request, shown, limit))]
    return Answer(f"[{','.join(rows)}]")


def reply_candles(request: RestRequest) -> Answer | None:
    """Return the answer to a request for one-minute candles; None for other requests."""
    names = request.path.split("/")
    if len(names) != 4 or names[1] != "candles" or names[3] != "hist":
        return None
    _, timeframe, native_symbol = [*names[2].split(":", 2), "", ""][:3]
    _require_known(request, native_symbol)
    if timeframe != "1m":
        raise refuse('["error",10020,"timeframe: invalid"]', HTTPStatus.INTERNAL_SERVER_ERROR)
    begin, end, limit = _span(request, _CANDLES_DEFAULT)
    candles = market_candles(request, native_symbol, has_empty=False)
    shown = [candle for candle in candles if begin <= candle.start_us // 1000 <= end]
    market = request.venue.markets[native_symbol]
    rows = [_candle_row(candle, market) for candle in _page(request, shown, limit)]
    return Answer(f"[{','.join(rows)}]")


def _require_known(request: RestRequest, native_symbol: str) -> None:
    if not request.venue.is_known(native_symbol):
        raise refuse('["error",10020,"symbol: invalid"]', HTTPStatus.INTERNAL_SERVER_ERROR)


def _span(request: RestRequest, default: int) -> tuple[int, int, int]:
    """Return begin, end (milliseconds, both inclusive) and limit of a query."""
    query = request.query
    begin, end = (parse_number(query, name, _INVALID) for name in ("start", "end"))
    limit = parse_limit(query, "limit", _MOST, default, _INVALID)
    return begin or 0, _NEVER_MS if end is None else end, limit


def _page(request: RestRequest, shown: list[Any], limit: int) -> list[Any]:
    if request.query.get("sort") == "1":
        return shown[:limit]
    return shown[-limit:][::-1]


def _candle_row(candle: Candle, market: Market) -> str:
    write, lots = amount_writers(market)
    prices = map(write, (candle.open, candle.close, candle.high, candle.low))
    return f"[{candle.start_us // 1000},{','.join(prices)},{lots(candle.lots)}]"


def _reply_list(request: RestRequest) -> Answer | None:
    """Return a list of pairs, or the tickers of all symbols; None for other requests."""
    venue = request.venue
    markets = [market for name, market in venue.markets.items() if venue.is_known(name)]
    if request.path == "v2/conf/pub:list:pair:exchange":
        names = ",".join(f'"{market.native_symbol[1:]}"' for market in markets)
        return Answer(f"[[{names}]]")
    if request.path == "v2/conf/pub:list:pair:futures":
        return Answer("[[]]")
    if request.path != "v2/tickers":
        return None
    rows = (
        f'["{market.native_symbol}",0,0,0,0,0,0,{price(market):f},{volume(market):f},0,0]'
        for market in markets
    )
    return Answer(f"[{','.join(rows)}]")
