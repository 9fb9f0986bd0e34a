"""Errors in Binance's form: {"code": -1121, "msg": "…"}."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from candlewax.clickhouse.client import BusyError, UnavailableError
from candlewax.web.problem import Problem

Handler = Callable[[Request], Awaitable[Response]]

DISCONNECTED: Final = -1001
TOO_MANY: Final = -1003
UNSUPPORTED: Final = -1020
BAD_VALUE: Final = -1100
UNKNOWN_PARAMETER: Final = -1104
MISSING_PARAMETER: Final = -1102
BAD_INTERVAL: Final = -1120
BAD_SYMBOL: Final = -1121
BAD_COMBINATION: Final = -1128
"""Binance's codes, as its documentation lists them."""


def speak_binance(handler: Handler) -> Handler:
    """Return a handler whose errors have Binance's form."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Problem as problem:
            return _error(problem.status, code_of(problem), _text(problem))
        except BusyError as error:
            return _error(503, TOO_MANY, str(error), {"Retry-After": "2"})
        except UnavailableError as error:
            return _error(503, DISCONNECTED, str(error), {"Retry-After": "2"})

    return answer


async def unsupported(request: Request) -> Response:
    """Return the error for an address that Binance has and Candlewax has not."""
    text = (
        f"there is nothing at {request.url.path}; there are klines, trades, historicalTrades, "
        "aggTrades, exchangeInfo, ticker/price, ticker/24hr, time and ping: no books, no orders, "
        "no accounts"
    )
    return _error(404, UNSUPPORTED, text)


def code_of(problem: Problem) -> int:
    """Return Binance's code of a problem."""
    if problem.code in _CODES:
        return _CODES[problem.code]
    if problem.message.startswith("missing"):
        return MISSING_PARAMETER
    if problem.message.startswith("unknown parameter"):
        return UNKNOWN_PARAMETER
    return BAD_INTERVAL if problem.parameter == "interval" else BAD_VALUE


_CODES: Final = {
    "unknown_market": BAD_SYMBOL,
    "unknown_exchange": BAD_SYMBOL,
    "bad_combination": BAD_COMBINATION,
}


def _text(problem: Problem) -> str:
    # Programs look for Binance's own words.
    if problem.code == "unknown_market":
        return f"Invalid symbol. {problem.message}"
    named = f"{problem.parameter}: " if problem.parameter else ""
    return f"{named}{problem.message}"


def _error(status: int, code: int, text: str, headers: dict[str, str] | None = None) -> Response:
    # Binance answers what is wrong with a request with 400.
    status = 400 if code in {BAD_SYMBOL, BAD_COMBINATION} else status
    body = msgspec.json.encode({"code": code, "msg": text})
    return Response(body, status, headers, "application/json")
