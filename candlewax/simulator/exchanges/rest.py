"""What REST answers: all trades published so far, also those no socket said.

Sources: Binance Spot API documentation, "Old trade lookup" and "Recent trades list";
Binance USD-M Futures, "Old Trades Lookup" and "Recent Trades List"; Kraken API Center,
"Get Recent Trades" and "Spot REST Rate Limits"; Coinbase Exchange, "Get product trades",
"Pagination" and "REST Rate Limits Overview".
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames.trades import eight, iso, price, quantity
from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import decimal_text
from candlewax.simulator.recording.faults import thinned

_NEVER: Final = 2**63
_KRAKEN_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}


@dataclass(frozen=True)
class Answer:
    """A status, a text in JSON, and headers."""

    text: str
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class RequestError(Exception):
    """What was asked for cannot be answered, but with this."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


class Trouble(Enum):
    """What may be wrong with a request, whatever it asks for."""

    NONE = "none"
    TOO_SOON = "too soon"
    FAILED = "failed"
    LACKING = "lacking some trades"


class Rest:
    """Answers requests. `trouble` draws what is wrong with the next one, `shown` as in Asked."""

    def __init__(
        self,
        venues: Mapping[str, Venue],
        trouble: Callable[[], Trouble],
        retry_after: int,
        shown: int = 0,
    ) -> None:
        self._venues = venues
        self._trouble = trouble
        self._retry_after = retry_after
        self.shown = shown

    def answer(self, target: str, headers: Mapping[str, str]) -> Answer | None:
        """The answer to a GET; None if this is no address of REST."""
        parts = urlsplit(target)
        if parts.path == "/health":
            return Answer('{"status":"ok"}')
        exchange, _, path = parts.path.removeprefix("/").partition("/")
        venue = self._venues.get(exchange)
        reply = _REPLIES.get(exchange)
        if venue is None or reply is None or not path.startswith(_ROOTS[exchange]):
            return None
        trouble = self._trouble()
        if trouble is Trouble.FAILED:
            return Answer(_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
        if trouble is Trouble.TOO_SOON:
            return self._too_soon(exchange)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        lacking = trouble is Trouble.LACKING
        asked = Asked(venue, path, query, headers.get("X-MBX-APIKEY"), self.shown, lacking)
        try:
            return reply(asked)
        except RequestError as error:
            return error.answer

    def _too_soon(self, exchange: str) -> Answer:
        if exchange == "kraken":  # which says so in the answer alone
            return Answer(_LIMITED[exchange])
        # Coinbase does not document how long to wait.
        told = exchange != "coinbase"
        headers = {"Retry-After": str(self._retry_after)} if told else {}
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
class Asked:
    """A request: what for, with which key, how many of the newest trades are shown (0 is all)."""

    venue: Venue
    path: str
    query: Query
    key: str | None = None
    shown: int = 0
    lacking: bool = False
    """Whether the answer lacks some of them."""

    def trades(self, native: str) -> Sequence[Trade]:
        """The trades of a market that are shown, oldest first. Those of futures that carry
        a condition, as those of the insurance fund, never are.
        """
        trades = self.venue.books.book(self.venue.exchange, native).all()
        if self.venue.markets[native].conditions:
            trades = [trade for trade in trades if not trade.condition]
        return trades[-self.shown :] if self.shown else trades


def _bad(text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> RequestError:
    return RequestError(Answer(text, status))


def _number(query: Query, name: str, error: RequestError) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise error
    return int(text)


def _limit(query: Query, name: str, most: int, usual: int, error: RequestError) -> int:
    limit = _number(query, name, error)
    if limit is None:
        return usual
    if limit == 0:
        raise error
    return min(limit, most)


def _page(asked: Asked, found: Sequence[T]) -> Sequence[T]:
    return thinned(found) if asked.lacking else found


def _place(trades: Sequence[Trade], number: int) -> int:
    """Where the trades from a number on begin."""
    return bisect_left(trades, number, key=lambda trade: trade.trade_id)


def _flag(value: bool) -> str:  # noqa: FBT001 - written as JSON writes it
    return "true" if value else "false"


def _binance(asked: Asked) -> Answer:
    spot, query = asked.venue.exchange == "binance", asked.query
    root, _, name = asked.path.rpartition("/")
    if root != ("api/v3" if spot else "fapi/v1") or name not in ("historicalTrades", "trades"):
        raise _bad('{"code":-1000,"msg":"Unknown path."}', HTTPStatus.NOT_FOUND)
    old = name == "historicalTrades"
    if old and not spot and not asked.key:
        raise _bad('{"code":-2014,"msg":"API-key format invalid."}', HTTPStatus.UNAUTHORIZED)
    native = query.get("symbol")
    if not native:
        missing = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
        raise _bad(f'{{"code":-1102,"msg":"{missing}"}}')
    if not asked.venue.knows(native):
        raise _bad('{"code":-1121,"msg":"Invalid symbol."}')
    illegal = _bad('{"code":-1100,"msg":"Illegal characters found in a parameter."}')
    most, usual = (500, 100) if old and not spot else (1000, 500)
    limit = _limit(query, "limit", most, usual, illegal)
    first = _number(query, "fromId", illegal) if old else None
    shown = asked.trades(native)
    if first is None:
        shown = shown[-limit:]
    else:
        begin = _place(shown, first)
        shown = shown[begin : begin + limit]
    rows = (_binance_row(trade, spot=spot) for trade in _page(asked, shown))
    return Answer(f"[{','.join(rows)}]")


def _binance_row(trade: Trade, *, spot: bool) -> str:
    write = eight if spot else str
    market = trade.market
    worth = decimal_text(trade.price * trade.quantity, market.price_decimals + market.lot_decimals)
    best = ',"isBestMatch":true' if spot else ""
    return (
        f'{{"id":{trade.trade_id},"price":"{write(price(trade))}",'
        f'"qty":"{write(quantity(trade))}","quoteQty":"{write(worth)}",'
        f'"time":{trade.time_us // 1000},"isBuyerMaker":{_flag(not trade.bought)}{best}}}'
    )


def _kraken(request: Asked) -> Answer:
    query = request.query
    if request.path != "0/public/Trades":
        raise _bad('{"error":["EGeneral:Unknown method"]}', HTTPStatus.OK)
    invalid = _bad('{"error":["EGeneral:Invalid arguments"]}', HTTPStatus.OK)
    asked = query.get("pair")
    if not asked:
        raise invalid
    native = _kraken_name(request.venue, asked)
    if native is None:
        raise _bad('{"error":["EQuery:Unknown asset pair"]}', HTTPStatus.OK)
    limit = _limit(query, "count", 1000, 1000, invalid)
    since = _number(query, "since", invalid)
    found = _page(request, _timed(request.trades(native), since, limit))
    rows = ",".join(_kraken_row(trade, time_ns) for trade, time_ns in found)
    last = found[-1][1] if found else since or 0
    return Answer(f'{{"error":[],"result":{{"{asked}":[{rows}],"last":"{last}"}}}}')


def _kraken_name(venue: Venue, asked: str) -> str | None:
    """The market of `BTC/USD`, `XBT/USD`, `XBTUSD` or `BTCUSD`."""
    base, slash, quote = asked.partition("/")
    if not slash:
        base, quote = asked[:-3], asked[-3:]
    native = f"{_KRAKEN_NAMES.get(base, base)}/{quote}"
    return native if venue.knows(native) else None


def _timed(shown: Sequence[Trade], since: int | None, limit: int) -> list[tuple[Trade, int]]:
    """Trades after a time in nanoseconds, with times of their own: those that share a
    microsecond follow each other by nanoseconds, so that no page ends among equals.
    """
    shown = sorted(shown, key=lambda trade: trade.time_us)  # a clock may have been stepped back
    begin = bisect_left(shown, (since or 0) // 1000, key=lambda trade: trade.time_us)
    found, before, rank = [], 0, 0
    for trade in shown[begin:]:
        rank = rank + 1 if trade.time_us == before else 0
        before = trade.time_us
        time_ns = trade.time_us * 1000 + min(rank, 999)
        if since is None or time_ns > since:
            found.append((trade, time_ns))
            if since is not None and len(found) == limit:
                break
    return found[-limit:]


def _kraken_row(trade: Trade, time_ns: int) -> str:
    scaled = trade.price * 10 ** max(5 - trade.market.price_decimals, 0)
    amount = decimal_text(scaled, max(5, trade.market.price_decimals))
    return (
        f'["{amount}","{quantity(trade)}",{decimal_text(time_ns // 100, 7)},'
        f'"{"b" if trade.bought else "s"}","{"l" if trade.limit else "m"}","",{trade.trade_id}]'
    )


def _coinbase(asked: Asked) -> Answer:
    names, query = asked.path.split("/"), asked.query
    if len(names) != 3 or names[2] != "trades" or not asked.venue.knows(names[1]):
        raise _bad('{"message":"NotFound"}', HTTPStatus.NOT_FOUND)
    limit = _limit(query, "limit", 1000, 1000, _bad('{"message":"invalid limit"}'))
    cursor = _bad('{"message":"invalid cursor"}')
    before, after = _number(query, "before", cursor), _number(query, "after", cursor)
    # What is before a page is newer: pages go from new to old.
    shown = asked.trades(names[1])
    begin, end = (_place(shown, least) for least in ((before or 0) + 1, after or _NEVER))
    found = _page(asked, shown[begin:end][-limit:])
    rows = ",".join(_coinbase_row(trade) for trade in reversed(found))
    ends = (found[-1], found[0]) if found else ()
    cursors = zip(("CB-BEFORE", "CB-AFTER"), ends, strict=False)
    return Answer(f"[{rows}]", headers={name: str(end.trade_id) for name, end in cursors})


def _coinbase_row(trade: Trade) -> str:
    return (
        f'{{"trade_id":{trade.trade_id},"side":"{"sell" if trade.bought else "buy"}",'
        f'"size":"{quantity(trade)}","price":"{price(trade)}","time":"{iso(trade.time_us)}"}}'
    )


_REPLIES: Final[Mapping[str, Callable[[Asked], Answer]]] = {
    "binance": _binance,
    "binance_usdm": _binance,
    "kraken": _kraken,
    "coinbase": _coinbase,
}
