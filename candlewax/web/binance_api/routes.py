"""Addresses in Binance's shape, of the default exchange and of each by its id."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from candlewax.web.binance_api.endpoints import BinanceApi
from candlewax.web.binance_api.errors import speak_binance, unsupported
from candlewax.web.binance_api.queries import BASES, QUERIES

Handler = Callable[[Request], Awaitable[Response]]


def routes(api: BinanceApi, deliver: Callable[[Handler], Handler]) -> list[Route]:
    """Return all routes; `deliver` wraps each handler."""
    handlers: Mapping[str, Handler] = {
        "ping": api.ping,
        "time": api.time,
        "klines": api.klines,
        "trades": api.trades,
        "historicalTrades": api.historical_trades,
        "aggTrades": api.agg_trades,
        "exchangeInfo": api.exchange_info,
        "ticker/price": api.ticker_price,
        "ticker/24hr": api.ticker_day,
    }
    return [
        *(
            Route(f"{base}/{name}", deliver(speak_binance(handlers[name])))
            for base in BASES
            for name in QUERIES
        ),
        *(Route(f"{base}/{{rest:path}}", unsupported, methods=_METHODS) for base in BASES),
    ]


_METHODS: Final = ["GET", "POST", "PUT", "DELETE"]
