"""Addresses in Binance's shape, of the default exchange and of each by its id."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from candlewax.web.binance_api import queries
from candlewax.web.binance_api.endpoints import BinanceApi
from candlewax.web.binance_api.errors import speak_binance, unsupported

Handler = Callable[[Request], Awaitable[Response]]

BASES: Final = ("/api/v3", "/{exchange}/api/v3")

QUERIES: Final[Mapping[str, tuple[type[queries.Query], str]]] = {
    "ping": (queries.Query, "Empty answer"),
    "time": (queries.Query, "Time of the server"),
    "klines": (queries.Klines, "Candles"),
    "trades": (queries.Trades, "Last trades"),
    "historicalTrades": (queries.HistoricalTrades, "Trades from an id on"),
    "aggTrades": (queries.AggTrades, "Trades from an id or a time on"),
    "exchangeInfo": (queries.ExchangeInfo, "Stored markets"),
    "ticker/price": (queries.Tickers, "Latest prices"),
    "ticker/24hr": (queries.Tickers, "Statistics of 24 hours"),
}
"""Parameters and summary of each address."""


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
