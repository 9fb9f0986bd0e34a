"""REST endpoints of the exchanges over all trades published so far, including skipped ones.

Sources of the answers over a rate limit: Kraken API Center, "Spot REST Rate Limits"; Coinbase
Exchange, "REST Rate Limits Overview".
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from candlewax.simulator.exchanges import bitfinex_rest, bitstamp, gemini, kraken_futures_rest
from candlewax.simulator.exchanges.bybit import reply_bybit
from candlewax.simulator.exchanges.market_lists import market_list
from candlewax.simulator.exchanges.okx import reply_okx
from candlewax.simulator.exchanges.rest_candles import CANDLE_REPLIES
from candlewax.simulator.exchanges.rest_request import Answer, RequestError, RestRequest
from candlewax.simulator.exchanges.rest_trades import reply_binance, reply_coinbase, reply_kraken
from candlewax.simulator.exchanges.venue import Venue


class RestFault(Enum):
    """Fault of a REST request, independent of its content."""

    NONE = "none"
    TOO_SOON = "too soon"
    FAILED = "failed"
    LACKING = "lacking some trades"


class Rest:
    """REST server of all exchanges; `draw_fault` draws the fault of the next request."""

    def __init__(
        self,
        venues: Mapping[str, Venue],
        draw_fault: Callable[[], RestFault],
        retry_after: int,
        shown: int = 0,
    ) -> None:
        self._venues = venues
        self._draw_fault = draw_fault
        self._retry_after = retry_after
        self.shown = shown
        self.log: deque[tuple[float, str, str]] = deque(maxlen=_LOGGED)
        """Monotonic time, exchange and target of the last requests."""

    def answer(self, target: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a GET; None if the target is no REST address."""
        parts = urlsplit(target)
        if parts.path == "/health":
            return Answer('{"status":"ok"}')
        exchange, _, path = parts.path.removeprefix("/").partition("/")
        venue = self._venues.get(exchange)
        reply = _REPLIES.get(exchange)
        if venue is None or reply is None or not path.startswith(_ROOTS[exchange]):
            return None
        self.log.append((time.monotonic(), exchange, target))
        reply_candles = _CANDLE_REPLIES.get(exchange)
        fault = self._draw_fault()
        if fault is RestFault.FAILED:
            return Answer(_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
        if fault is RestFault.TOO_SOON:
            return self._rate_limited(exchange)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        key = headers.get("X-MBX-APIKEY")
        request = RestRequest(venue, path, query, key, self.shown, fault is RestFault.LACKING)
        try:
            listed = market_list(venue, path)
            candles = reply_candles(request) if reply_candles else None
            return candles or reply(request) if listed is None else Answer(listed)
        except RequestError as error:
            return error.answer

    def _rate_limited(self, exchange: str) -> Answer:
        if exchange == "kraken":  # reports it in the body only
            return Answer(_LIMITED[exchange])
        # The others do not document how long to wait.
        tells_wait = exchange.startswith("binance")
        headers = {"Retry-After": str(self._retry_after)} if tells_wait else {}
        return Answer(_LIMITED[exchange], HTTPStatus.TOO_MANY_REQUESTS, headers)


_LOGGED: Final = 10_000

_GATEWAY: Final = "<html><body>503 Service Unavailable</body></html>"

_ROOTS: Final = {
    "binance": "api/",
    "binance_usdm": "fapi/",
    "binance_coinm": "dapi/",
    "binance_us": "api/",
    "kraken": "0/",
    "coinbase": "products",
    "okx": "api/v5/",
    "bybit": "v5/",
    "bybit_linear": "v5/",
    "bitstamp": "api/v2/",
    "gemini": "v",
    "kraken_futures": "",
    "bitfinex": "v2/",
}
_LIMITED: Final = {
    "binance": '{"code":-1003,"msg":"Too much request weight used."}',
    "binance_usdm": '{"code":-1003,"msg":"Too many requests."}',
    "binance_coinm": '{"code":-1003,"msg":"Too many requests."}',
    "binance_us": '{"code":-1003,"msg":"Too many requests."}',
    "kraken": '{"error":["EAPI:Rate limit exceeded"]}',
    "coinbase": '{"message":"Public rate limit exceeded"}',
    "okx": '{"msg":"Too Many Requests","code":"50011"}',
    "bybit": '{"retCode":10006,"retMsg":"Too many visits!"}',
    "bybit_linear": '{"retCode":10006,"retMsg":"Too many visits!"}',
    "bitstamp": bitstamp.LIMITED,
    "gemini": gemini.LIMITED,
    "kraken_futures": kraken_futures_rest.LIMITED,
    "bitfinex": bitfinex_rest.LIMITED,
}

_REPLIES: Final[Mapping[str, Callable[[RestRequest], Answer]]] = {
    "binance": reply_binance,
    "binance_usdm": reply_binance,
    "binance_coinm": reply_binance,
    "binance_us": reply_binance,
    "kraken": reply_kraken,
    "coinbase": reply_coinbase,
    "okx": reply_okx,
    "bybit": reply_bybit,
    "bybit_linear": reply_bybit,
    "bitstamp": bitstamp.reply_bitstamp,
    "gemini": gemini.reply_gemini,
    "kraken_futures": kraken_futures_rest.reply_trades,
    "bitfinex": bitfinex_rest.reply_trades,
}
_CANDLE_REPLIES: Final[Mapping[str, Callable[[RestRequest], Answer | None]]] = {
    **CANDLE_REPLIES,
    "kraken_futures": kraken_futures_rest.reply_candles,
    "bitfinex": bitfinex_rest.reply_candles,
}
