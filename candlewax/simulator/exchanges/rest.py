"""REST endpoints of the exchanges over all trades published so far, including skipped ones.

Sources: Binance Spot API, "Old trade lookup", "Recent trades list"; Binance USD-M Futures, "Old
Trades Lookup", "Recent Trades List"; Kraken API Center, "Get Recent Trades", "Spot REST Rate
Limits"; Coinbase Exchange, "Get product trades", "Pagination", "REST Rate Limits Overview".
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from candlewax.simulator.exchanges.market_lists import market_list
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames.trades import iso, pad_decimals, price, quantity
from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import decimal_text
from candlewax.simulator.recording.faults import drop_middle

_NEVER: Final = 2**63
_KRAKEN_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}


@dataclass(frozen=True)
class Answer:
    """Response: JSON text, status and headers."""

    text: str
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class RequestError(Exception):
    """A request that is refused with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


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
            return reply(request) if listed is None else Answer(listed)
        except RequestError as error:
            return error.answer

    def _rate_limited(self, exchange: str) -> Answer:
        if exchange == "kraken":  # reports it in the body only
            return Answer(_LIMITED[exchange])
        # Coinbase does not document how long to wait.
        tells_wait = exchange != "coinbase"
        headers = {"Retry-After": str(self._retry_after)} if tells_wait else {}
        return Answer(_LIMITED[exchange], HTTPStatus.TOO_MANY_REQUESTS, headers)


_GATEWAY: Final = "<html><body>503 Service Unavailable</body></html>"
_ROOTS: Final = {
    "binance": "api/",
    "binance_usdm": "fapi/",
    "kraken": "0/",
    "coinbase": "products",
}
_LIMITED: Final = {
    "binance": '{"code":-1003,"msg":"Too much request weight used."}',
    "binance_usdm": '{"code":-1003,"msg":"Too many requests."}',
    "kraken": '{"error":["EAPI:Rate limit exceeded"]}',
    "coinbase": '{"message":"Public rate limit exceeded"}',
}
Query = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class RestRequest:
    """REST request; it may return the `shown` newest trades (0 is all), or with some left out."""

    venue: Venue
    path: str
    query: Query
    key: str | None = None
    shown: int = 0
    is_incomplete: bool = False

    def trades(self, native_symbol: str) -> Sequence[Trade]:
        """Return the trades of a market that REST shows, oldest first.

        Futures trades with a condition, such as those of the insurance fund, are never shown.
        """
        trades = self.venue.published.market_trades(self.venue.exchange, native_symbol).all()
        if self.venue.markets[native_symbol].conditions:
            trades = [trade for trade in trades if not trade.condition]
        return trades[-self.shown :] if self.shown else trades


def _error(text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> RequestError:
    return RequestError(Answer(text, status))


def _parse_number(query: Query, name: str, error: RequestError) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise error
    return int(text)


def _parse_limit(query: Query, name: str, most: int, default: int, error: RequestError) -> int:
    limit = _parse_number(query, name, error)
    if limit is None:
        return default
    if limit == 0:
        raise error
    return min(limit, most)


def _page(request: RestRequest, page: Sequence[T]) -> Sequence[T]:
    return drop_middle(page) if request.is_incomplete else page


def _index_of(trades: Sequence[Trade], number: int) -> int:
    """Return the index of the first trade from a number on."""
    return bisect_left(trades, number, key=lambda trade: trade.trade_id)


def _json_bool(value: bool) -> str:  # noqa: FBT001 - a JSON literal
    return "true" if value else "false"


def _binance(request: RestRequest) -> Answer:
    spot, query = request.venue.exchange == "binance", request.query
    root, _, name = request.path.rpartition("/")
    if root != ("api/v3" if spot else "fapi/v1") or name not in ("historicalTrades", "trades"):
        raise _error('{"code":-1000,"msg":"Unknown path."}', HTTPStatus.NOT_FOUND)
    is_historical = name == "historicalTrades"
    if is_historical and not spot and not request.key:
        raise _error('{"code":-2014,"msg":"API-key format invalid."}', HTTPStatus.UNAUTHORIZED)
    native_symbol = query.get("symbol")
    if not native_symbol:
        missing = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
        raise _error(f'{{"code":-1102,"msg":"{missing}"}}')
    if not request.venue.is_known(native_symbol):
        raise _error('{"code":-1121,"msg":"Invalid symbol."}')
    illegal = _error('{"code":-1100,"msg":"Illegal characters found in a parameter."}')
    most, default = (500, 100) if is_historical and not spot else (1000, 500)
    limit = _parse_limit(query, "limit", most, default, illegal)
    first = _parse_number(query, "fromId", illegal) if is_historical else None
    shown = request.trades(native_symbol)
    if first is None:
        shown = shown[-limit:]
    else:
        begin = _index_of(shown, first)
        shown = shown[begin : begin + limit]
    rows = (_binance_row(trade, spot=spot) for trade in _page(request, shown))
    return Answer(f"[{','.join(rows)}]")


def _binance_row(trade: Trade, *, spot: bool) -> str:
    write = pad_decimals if spot else str
    market = trade.market
    value = decimal_text(trade.price * trade.quantity, market.price_decimals + market.lot_decimals)
    best = ',"isBestMatch":true' if spot else ""
    return (
        f'{{"id":{trade.trade_id},"price":"{write(price(trade))}",'
        f'"qty":"{write(quantity(trade))}","quoteQty":"{write(value)}",'
        f'"time":{trade.time_us // 1000},"isBuyerMaker":{_json_bool(not trade.bought)}{best}}}'
    )


def _kraken(request: RestRequest) -> Answer:
    query = request.query
    if request.path != "0/public/Trades":
        raise _error('{"error":["EGeneral:Unknown method"]}', HTTPStatus.OK)
    invalid = _error('{"error":["EGeneral:Invalid arguments"]}', HTTPStatus.OK)
    pair = query.get("pair")
    if not pair:
        raise invalid
    native_symbol = _kraken_name(request.venue, pair)
    if native_symbol is None:
        raise _error('{"error":["EQuery:Unknown asset pair"]}', HTTPStatus.OK)
    limit = _parse_limit(query, "count", 1000, 1000, invalid)
    since = _parse_number(query, "since", invalid)
    page = _page(request, _stamp_ns(request.trades(native_symbol), since, limit))
    rows = ",".join(_kraken_row(trade, time_ns) for trade, time_ns in page)
    last = page[-1][1] if page else since or 0
    return Answer(f'{{"error":[],"result":{{"{pair}":[{rows}],"last":"{last}"}}}}')


def _kraken_name(venue: Venue, pair: str) -> str | None:
    """Return the native symbol of `BTC/USD`, `XBT/USD`, `XBTUSD` or `BTCUSD`; None if unknown."""
    base, slash, quote = pair.partition("/")
    if not slash:
        base, quote = pair[:-3], pair[-3:]
    native_symbol = f"{_KRAKEN_NAMES.get(base, base)}/{quote}"
    return native_symbol if venue.is_known(native_symbol) else None


def _stamp_ns(shown: Sequence[Trade], since: int | None, limit: int) -> list[tuple[Trade, int]]:
    """Return trades after a time, with distinct times in nanoseconds.

    Trades of the same microsecond get consecutive nanoseconds, so that no page ends among equals.
    """
    shown = sorted(shown, key=lambda trade: trade.time_us)  # a clock may have been stepped back
    begin = bisect_left(shown, (since or 0) // 1000, key=lambda trade: trade.time_us)
    timed, last_us, rank = [], 0, 0
    for trade in shown[begin:]:
        rank = rank + 1 if trade.time_us == last_us else 0
        last_us = trade.time_us
        time_ns = trade.time_us * 1000 + min(rank, 999)
        if since is None or time_ns > since:
            timed.append((trade, time_ns))
            if since is not None and len(timed) == limit:
                break
    return timed[-limit:]


def _kraken_row(trade: Trade, time_ns: int) -> str:
    scaled = trade.price * 10 ** max(5 - trade.market.price_decimals, 0)
    amount = decimal_text(scaled, max(5, trade.market.price_decimals))
    return (
        f'["{amount}","{quantity(trade)}",{decimal_text(time_ns // 100, 7)},'
        f'"{"b" if trade.bought else "s"}","{"l" if trade.limit else "m"}","",{trade.trade_id}]'
    )


def _coinbase(request: RestRequest) -> Answer:
    names, query = request.path.split("/"), request.query
    if len(names) != 3 or names[2] != "trades" or not request.venue.is_known(names[1]):
        raise _error('{"message":"NotFound"}', HTTPStatus.NOT_FOUND)
    limit = _parse_limit(query, "limit", 1000, 1000, _error('{"message":"invalid limit"}'))
    cursor = _error('{"message":"invalid cursor"}')
    before, after = _parse_number(query, "before", cursor), _parse_number(query, "after", cursor)
    # "Before" a page are newer trades: pages go from new to old.
    shown = request.trades(names[1])
    begin, end = (_index_of(shown, first_id) for first_id in ((before or 0) + 1, after or _NEVER))
    page = _page(request, shown[begin:end][-limit:])
    rows = ",".join(_coinbase_row(trade) for trade in reversed(page))
    ends = (page[-1], page[0]) if page else ()
    cursors = zip(("CB-BEFORE", "CB-AFTER"), ends, strict=False)
    return Answer(f"[{rows}]", headers={name: str(end.trade_id) for name, end in cursors})


def _coinbase_row(trade: Trade) -> str:
    return (
        f'{{"trade_id":{trade.trade_id},"side":"{"sell" if trade.bought else "buy"}",'
        f'"size":"{quantity(trade)}","price":"{price(trade)}","time":"{iso(trade.time_us)}"}}'
    )


_REPLIES: Final[Mapping[str, Callable[[RestRequest], Answer]]] = {
    "binance": _binance,
    "binance_usdm": _binance,
    "kraken": _kraken,
    "coinbase": _coinbase,
}
