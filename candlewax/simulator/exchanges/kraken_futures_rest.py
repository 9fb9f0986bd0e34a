"""REST of Kraken Futures: the latest trades, candles and lists of products.

Source: Kraken API Center, Futures REST, "Get trade history", "Market Candles", "Get instruments"
and "Get tickers".
"""

import json
from typing import Any, Final

from candlewax.simulator.exchanges.market_lists import price, tick, volume
from candlewax.simulator.exchanges.rest_candles import Candle, amount_writers, market_candles
from candlewax.simulator.exchanges.rest_request import (
    Answer,
    RestRequest,
    parse_number,
    refuse,
    show_page,
)
from candlewax.simulator.frames.trades import iso, quantity
from candlewax.simulator.frames.trades import price as trade_price
from candlewax.simulator.market.market import Market

LIMITED: Final = '{"result":"error","error":"apiLimitExceeded"}'

_SHOWN: Final = 100
_CANDLES: Final = 2000
_SYMBOL: Final = refuse('{"result":"error","error":"invalidArgument: symbol"}')


def reply_trades(request: RestRequest) -> Answer:
    """Return the last 100 trades of a product, newest first; they have no numbers.

    Lists of products are answered too.
    """
    if listed := _reply_list(request):
        return listed
    product = request.query.get("symbol", "")
    if request.path != "derivatives/api/v3/history" or not request.venue.is_known(product):
        raise _SYMBOL
    shown = show_page(request, request.trades(product)[-_SHOWN:])
    rows = ",".join(
        f'{{"time":"{iso(trade.time_us // 1000 * 1000)}","trade_id":{place},'
        f'"price":{trade_price(trade)},"size":{quantity(trade)},'
        f'"side":"{"buy" if trade.bought else "sell"}","type":"fill",'
        f'"uid":"{request.venue.trade_id(trade)}"}}'
        for place, trade in reversed(list(enumerate(shown, 1 + _SHOWN - len(shown))))
    )
    return Answer(f'{{"result":"success","history":[{rows}]}}')


def reply_candles(request: RestRequest) -> Answer | None:
    """Return one-minute candles from a time to another, both inclusive; None for other requests."""
    names = request.path.split("/")
    if names[:4] != ["api", "charts", "v1", "trade"] or names[5:] != ["1m"]:
        return None
    product, query = names[4], request.query
    if not request.venue.is_known(product):
        raise _SYMBOL
    begin, end = (parse_number(query, name, _SYMBOL) for name in ("from", "to"))
    candles = [
        candle
        for candle in market_candles(request, product)
        if (begin or 0) <= candle.start_us // 1_000_000
        and (end is None or candle.start_us // 1_000_000 <= end)
    ]
    market = request.venue.markets[product]
    rows = [_candle(candle, market) for candle in candles[:_CANDLES]]
    answer = {"candles": rows, "more_candles": len(candles) > _CANDLES}
    return Answer(json.dumps(answer, separators=(",", ":")))


def _candle(candle: Candle, market: Market) -> dict[str, Any]:
    write, lots = amount_writers(market)
    return {
        "time": candle.start_us // 1000,
        "open": write(candle.open),
        "high": write(candle.high),
        "low": write(candle.low),
        "close": write(candle.close),
        "volume": lots(candle.lots),
    }


def _reply_list(request: RestRequest) -> Answer | None:
    """Return the list of products, or their tickers; None for other requests."""
    venue = request.venue
    markets = [market for name, market in venue.markets.items() if venue.is_known(name)]
    if request.path == "derivatives/api/v3/instruments":
        rows = ",".join(
            f'{{"symbol":"{market.native_symbol}","type":"flexible_futures",'
            f'"tickSize":{tick(market)},"contractSize":1,"tradeable":true,"isExpired":false}}'
            for market in markets
        )
        return Answer(f'{{"result":"success","instruments":[{rows}]}}')
    if request.path != "derivatives/api/v3/tickers":
        return None
    rows = ",".join(
        f'{{"symbol":"{market.native_symbol}","last":{price(market):f},'
        f'"volumeQuote":{price(market) * volume(market):f}}}'
        for market in markets
    )
    return Answer(f'{{"result":"success","tickers":[{rows}]}}')
