"""What REST answers: all trades published so far, also those no socket said.

Sources: Binance Spot API documentation, "Old trade lookup"; Binance USD-M Futures,
"Old Trades Lookup"; Kraken API Center, "Get Recent Trades"; Coinbase Exchange, "Get
product trades" and "Pagination".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from candlewax.simulator.books import Book
from candlewax.simulator.frames import eight, iso, price, quantity
from candlewax.simulator.market import Trade
from candlewax.simulator.numbers import decimal_text
from candlewax.simulator.venue import Venue

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


class Rest:
    """Answers requests. `limited` says whether one comes too soon."""

    def __init__(
        self, venues: Mapping[str, Venue], limited: Callable[[], bool], retry_after: int
    ) -> None:
        self._venues = venues
        self._limited = limited
        self._retry_after = retry_after

    def answer(self, target: str) -> Answer | None:
        """The answer to a GET; None if this is no address of REST."""
        parts = urlsplit(target)
        if parts.path == "/health":
            return Answer('{"status":"ok"}')
        exchange, _, path = parts.path.removeprefix("/").partition("/")
        venue = self._venues.get(exchange)
        reply = _REPLIES.get(exchange)
        if venue is None or reply is None or not path.startswith(_ROOTS[exchange]):
            return None
        if self._limited():
            headers = {"Retry-After": str(self._retry_after)}
            return Answer(_LIMITED[exchange], HTTPStatus.TOO_MANY_REQUESTS, headers)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            return reply(venue, path, query)
        except RequestError as error:
            return error.answer


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


def _flag(value: bool) -> str:  # noqa: FBT001 - written as JSON writes it
    return "true" if value else "false"


def _binance(venue: Venue, path: str, query: Query) -> Answer:
    spot = venue.exchange == "binance"
    if path != ("api/v3/historicalTrades" if spot else "fapi/v1/historicalTrades"):
        raise _bad('{"code":-1000,"msg":"Unknown path."}', HTTPStatus.NOT_FOUND)
    native = query.get("symbol")
    if not native:
        missing = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
        raise _bad(f'{{"code":-1102,"msg":"{missing}"}}')
    if not venue.knows(native):
        raise _bad('{"code":-1121,"msg":"Invalid symbol."}')
    illegal = _bad('{"code":-1100,"msg":"Illegal characters found in a parameter."}')
    most, usual = (1000, 500) if spot else (500, 100)
    limit = _limit(query, "limit", most, usual, illegal)
    first = _number(query, "fromId", illegal)
    book = venue.books.book(venue.exchange, native)
    trades = book.last(limit) if first is None else book.between(first - 1, first + limit)
    # Trades with a condition, as those of the insurance fund, are not shown.
    rows = (_binance_row(trade, spot=spot) for trade in trades if not trade.condition)
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


def _kraken(venue: Venue, path: str, query: Query) -> Answer:
    if path != "0/public/Trades":
        raise _bad('{"error":["EGeneral:Unknown method"]}', HTTPStatus.OK)
    invalid = _bad('{"error":["EGeneral:Invalid arguments"]}', HTTPStatus.OK)
    asked = query.get("pair")
    if not asked:
        raise invalid
    native = _kraken_name(venue, asked)
    if native is None:
        raise _bad('{"error":["EQuery:Unknown asset pair"]}', HTTPStatus.OK)
    limit = _limit(query, "count", 1000, 1000, invalid)
    since = _number(query, "since", invalid)
    book = venue.books.book(venue.exchange, native)
    found = _timed(book, since, limit)
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


def _timed(book: Book, since: int | None, limit: int) -> list[tuple[Trade, int]]:
    """Trades after a time in nanoseconds, with times of their own: those that share a
    microsecond follow each other by nanoseconds, so that no page ends among equals.
    """
    trades = book.since((since or 0) // 1000)
    found, before, rank = [], 0, 0
    for trade in trades:
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


def _coinbase(venue: Venue, path: str, query: Query) -> Answer:
    names = path.split("/")
    if len(names) != 3 or names[2] != "trades" or not venue.knows(names[1]):
        raise _bad('{"message":"NotFound"}', HTTPStatus.NOT_FOUND)
    limit = _limit(query, "limit", 1000, 1000, _bad('{"message":"invalid limit"}'))
    cursor = _bad('{"message":"invalid cursor"}')
    before, after = _number(query, "before", cursor), _number(query, "after", cursor)
    book = venue.books.book(venue.exchange, names[1])
    # What is before a page is newer: pages go from new to old.
    found = book.between(before or 0, _NEVER if after is None else after)[-limit:]
    rows = ",".join(_coinbase_row(trade) for trade in reversed(found))
    ends = (found[-1], found[0]) if found else ()
    cursors = zip(("CB-BEFORE", "CB-AFTER"), ends, strict=False)
    return Answer(f"[{rows}]", headers={name: str(end.trade_id) for name, end in cursors})


def _coinbase_row(trade: Trade) -> str:
    return (
        f'{{"trade_id":{trade.trade_id},"side":"{"sell" if trade.bought else "buy"}",'
        f'"size":"{quantity(trade)}","price":"{price(trade)}","time":"{iso(trade.time_us)}"}}'
    )


_REPLIES: Final[Mapping[str, Callable[[Venue, str, Query], Answer]]] = {
    "binance": _binance,
    "binance_usdm": _binance,
    "kraken": _kraken,
    "coinbase": _coinbase,
}
